// Bodies for the Metal functions that PyTorch's copies between views need: strided gather and scatter, in 1 to 4 dimensions and
// in any number. Their library's text says from which type to which they cast.
#include <cstdint>
#include <map>
#include <string>

#include "casts.h"
#include "runtime/assertions.h"
#include "simulated_metal.h"

namespace simulated {

namespace {

uint32_t type_of(const std::string& name) {
  static const std::map<std::string, uint32_t> types = {
      {"float", 0x10000000 | 32}, {"half", 0x10000000 | 16}, {"bfloat", 0x90000000 | 16}, {"float2", 0x11000000 | 64},
      {"half2", 0x11000000 | 32}, {"long", 0x20000000 | 64}, {"int", 0x20000000 | 32},    {"short", 0x20000000 | 16},
      {"char", 0x20000000 | 8},   {"uchar", 8},              {"bool", 0x80000000 | 8},    {"ulong", 64},
      {"uint", 32},               {"ushort", 16}};
  auto found = types.find(name);
  if (found == types.end()) mps_sim::not_simulated("a copy of values of Metal's type " + name);
  return found->second;
}

struct Types {
  uint32_t to, from;
  bool conjugates;
};

// PyTorch's library begins with "template<> TO cast<TO, FROM>(const FROM x) { return ...; }".
Types types_of(const std::string& source) {
  const std::string begin = " cast<", conjugation = "-x.y";
  size_t at = source.find(begin), comma = source.find(", ", at), end = source.find('>', comma);
  if (at == std::string::npos || comma == std::string::npos || end == std::string::npos) {
    mps_sim::not_simulated("a gather or scatter whose library does not say from which type to which it casts");
  }
  size_t to = at + begin.size();
  return {type_of(source.substr(to, comma - to)), type_of(source.substr(comma + 2, end - comma - 2)),
          source.find(conjugation) != std::string::npos};
}

void copy_strided(const std::vector<Argument>& arguments, const std::string& source, int dimensions, bool gathers) {
  if (arguments.size() < 5) mps_sim::not_simulated("a gather or scatter with other arguments");
  if (dimensions == 0) dimensions = *static_cast<const int32_t*>(arguments.at(5).data);
  Types types = types_of(source);
  const auto* sizes = static_cast<const uint32_t*>(arguments[2].data);
  const auto* strides = static_cast<const uint32_t*>(arguments[3].data);
  uint32_t count = *static_cast<const uint32_t*>(arguments[4].data);
  size_t from_width = width_of(types.from), to_width = width_of(types.to);
  for (uint32_t one = 0; one < count; ++one) {
    uint64_t strided = 0;
    uint32_t rest = one;
    for (int dimension = dimensions - 1; dimension >= 0; --dimension) {
      strided += uint64_t{strides[dimension]} * (rest % sizes[dimension]);
      rest /= sizes[dimension];
    }
    const char* from = static_cast<const char*>(arguments[0].data) + (gathers ? strided : one) * from_width;
    char* to = static_cast<char*>(arguments[1].data) + (gathers ? one : strided) * to_width;
    cast(types.to, to, types.from, from, 1);
    if (types.conjugates) conjugate(types.to, to, 1);
  }
}

const bool defined = [] {
  for (bool gathers : {true, false}) {
    for (int dimensions = 0; dimensions <= 4; ++dimensions) {
      std::string name = (gathers ? "gather_kernel_" : "scatter_kernel_") + (dimensions == 0 ? "n" : std::to_string(dimensions));
      define_kernel(name, [gathers, dimensions](const auto& arguments, Grid, const std::string& source) {
        copy_strided(arguments, source, dimensions, gathers);
      });
    }
  }
  return true;
}();

}  // namespace

}  // namespace simulated
