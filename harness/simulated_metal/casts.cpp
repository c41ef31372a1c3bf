#include "casts.h"

#include <complex>
#include <cstring>
#include <string>
#include <type_traits>

#include "runtime/assertions.h"

namespace simulated {

namespace {

struct Bfloat {
  uint16_t bits = 0;
  Bfloat() = default;
  explicit Bfloat(float value) {
    uint32_t whole;
    std::memcpy(&whole, &value, sizeof whole);
    if ((whole & 0x7fffffff) > 0x7f800000) {  // Not a number: rounding could make it infinite.
      bits = static_cast<uint16_t>(whole >> 16 | 0x40);
    } else {
      bits = static_cast<uint16_t>((whole + 0x7fff + (whole >> 16 & 1)) >> 16);  // To the nearest, ties to even.
    }
  }
  explicit operator float() const {
    uint32_t whole = uint32_t{bits} << 16;
    float value;
    std::memcpy(&value, &whole, sizeof value);
    return value;
  }
};

struct HalfComplex {
  _Float16 real, imaginary;
};

using Complex = std::complex<float>;

template <typename Value>
constexpr bool is_complex = std::is_same_v<Value, Complex> || std::is_same_v<Value, HalfComplex>;

[[noreturn]] void unknown(uint32_t type) {
  char text[64];
  std::snprintf(text, sizeof text, "values of the MPSDataType 0x%x", type);
  mps_sim::not_simulated(text);
}

template <typename From>
Complex complex_of(From value) {
  if constexpr (std::is_same_v<From, Complex>) return value;
  else if constexpr (std::is_same_v<From, HalfComplex>) return {static_cast<float>(value.real), static_cast<float>(value.imaginary)};
  else return {static_cast<float>(value), 0};
}

template <typename To, typename From>
To converted(From value) {
  if constexpr (std::is_same_v<To, From>) return value;
  else if constexpr (std::is_same_v<To, Complex>) return complex_of(value);
  else if constexpr (std::is_same_v<To, HalfComplex>) return {static_cast<_Float16>(complex_of(value).real()), static_cast<_Float16>(complex_of(value).imag())};
  else if constexpr (is_complex<From>) return converted<To>(complex_of(value).real());
  else if constexpr (std::is_same_v<To, Bfloat> || std::is_same_v<From, Bfloat>) return static_cast<To>(static_cast<float>(value));
  else return static_cast<To>(value);
}

// Calls `use` with a value of the type that stands for.
template <typename Use>
auto with(uint32_t type, Use use) {
  switch (type) {
    case kDouble: return use(double{});
    case 0x10000000 | 32: return use(float{});
    case 0x10000000 | 16: return use(_Float16{});
    case 0x90000000 | 16: return use(Bfloat{});
    case 0x11000000 | 64: return use(Complex{});
    case 0x11000000 | 32: return use(HalfComplex{});
    case 0x20000000 | 64: return use(int64_t{});
    case 0x20000000 | 32: return use(int32_t{});
    case 0x20000000 | 16: return use(int16_t{});
    case 0x20000000 | 8: return use(int8_t{});
    case 64: return use(uint64_t{});
    case 32: return use(uint32_t{});
    case 16: return use(uint16_t{});
    case 8: return use(uint8_t{});
    case 0x80000000 | 8: return use(bool{});
    default: unknown(type);
  }
}

}  // namespace

size_t width_of(uint32_t type) {
  return with(type, [](auto value) { return sizeof value; });
}

void cast(uint32_t to_type, void* to, uint32_t from_type, const void* from, size_t count) {
  with(to_type, [&](auto to_value) {
    with(from_type, [&](auto from_value) {
      auto* target = static_cast<decltype(to_value)*>(to);
      const auto* source = static_cast<const decltype(from_value)*>(from);
      for (size_t at = 0; at < count; ++at) target[at] = converted<decltype(to_value)>(source[at]);
    });
  });
}

void conjugate(uint32_t type, void* values, size_t count) {
  with(type, [&](auto value) {
    using Value = decltype(value);
    if constexpr (is_complex<Value>) {
      auto* all = static_cast<Value*>(values);
      for (size_t at = 0; at < count; ++at) all[at] = converted<Value>(std::conj(complex_of(all[at])));
    } else {
      unknown(type);
    }
  });
}

}  // namespace simulated
