// MPSGraph's random numbers: Philox 4x32 with ten rounds, as Apple documents its generator, from the state that the tree feeds.
// Which of its numbers goes to which element is ours: values are another sequence than a Mac's.
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "graph.h"
#include "runtime/assertions.h"

using namespace mps_graph;

@implementation MPSGraphRandomOpDescriptor
@synthesize min, max, mean, standardDeviation, minInteger, maxInteger;

+ (instancetype)descriptorWithDistribution:(MPSGraphRandomDistribution)distribution dataType:(MPSDataType)type {
  MPSGraphRandomOpDescriptor* made = [[MPSGraphRandomOpDescriptor new] autorelease];
  made->distribution = distribution;
  made->dataType = type;
  made->max = 1;
  made->standardDeviation = 1;
  made->maxInteger = 1;
  return made;
}
@end

namespace {

constexpr int64_t kStateNumbers = 7;  // One that is not used, the counter's four, the key's two.
constexpr double kTwoPi = 6.283185307179586;

using Block = std::array<uint32_t, 4>;

Block philox(Block counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t one = uint64_t{0xd2511f53} * counter[0], other = uint64_t{0xcd9e8d57} * counter[2];
    counter = {static_cast<uint32_t>(other >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(other),
               static_cast<uint32_t>(one >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(one)};
    key[0] += 0x9e3779b9;
    key[1] += 0xbb67ae85;
  }
  return counter;
}

// Numbers of 32 bits, one after another, of one state.
class Numbers {
 public:
  explicit Numbers(const int32_t* state) {
    for (size_t at = 0; at < 4; ++at) counter_[at] = static_cast<uint32_t>(state[1 + at]);
    for (size_t at = 0; at < 2; ++at) key_[at] = static_cast<uint32_t>(state[5 + at]);
  }

  uint32_t next() {
    if (used_ == block_.size()) {
      block_ = philox(counter_, key_);
      for (size_t at = 0; at < counter_.size() && ++counter_[at] == 0; ++at) {
      }
      used_ = 0;
    }
    return block_[used_++];
  }

  double below_one() { return (next() >> 8) * 0x1p-24; }

  double normal() {
    const double radius = std::sqrt(-2 * std::log(1 - below_one()));
    return radius * std::cos(kTwoPi * below_one());
  }

 private:
  Block counter_{}, block_{};
  std::array<uint32_t, 2> key_{};
  size_t used_ = 4;
};

struct Draw {
  bool is_normal, is_whole;
  double begin, width;  // Or mean and standard deviation.
  int64_t smallest;
  uint64_t count;  // Of whole numbers.

  explicit Draw(const MPSGraphRandomOpDescriptor* of)
      : is_normal(of->distribution == MPSGraphRandomDistributionNormal),
        is_whole(of->dataType == MPSDataTypeInt32),
        begin(is_normal ? of->mean : of->min),
        width(is_normal ? of->standardDeviation : of->max - of->min) {
    // What lies beyond 32 bits cannot be drawn.
    const auto inside = [](int64_t number) {
      return std::min<int64_t>(std::max<int64_t>(number, std::numeric_limits<int32_t>::min()), std::numeric_limits<int32_t>::max());
    };
    smallest = inside(of->minInteger);
    count = static_cast<uint64_t>(inside(of->maxInteger) - smallest) + 1;
  }

  double one(Numbers& numbers) const {
    if (is_whole) return static_cast<double>(smallest + static_cast<int64_t>(numbers.next() % count));
    return begin + width * (is_normal ? numbers.normal() : numbers.below_one());
  }
};

}  // namespace

@implementation MPSGraph (InterpretedRandom)

- (NSArray<MPSGraphTensor*>*)randomTensorWithShape:(MPSShape*)shape
                                        descriptor:(MPSGraphRandomOpDescriptor*)descriptor
                                       stateTensor:(MPSGraphTensor*)state
                                              name:(NSString*)label {
  const c10::ScalarType type = type_of(descriptor->dataType);
  auto compute = [draw = Draw(descriptor), type, sizes = axes_of(shape)](const Values& v) {
    if (v[0].is_meta()) return Values{at::empty(sizes, v[0].options().dtype(type)), v[0]};
    const at::Tensor given = v[0].to(c10::kInt).contiguous();
    if (given.numel() != kStateNumbers) refuse("randomTensorWithShape:", "a state of " + std::to_string(given.numel()) + " numbers");
    Numbers numbers(given.data_ptr<int32_t>());
    at::Tensor made = at::empty(sizes, at::kDouble);
    double* values = made.data_ptr<double>();
    for (int64_t at = 0; at < made.numel(); ++at) values[at] = draw.one(numbers);
    made = made.to(type);
    // Rounded to the type, the largest may be the end of the range, which is not in it.
    if (!draw.is_normal && !draw.is_whole) made = at::where(made < draw.begin + draw.width, made, at::full({}, draw.begin, made.options()));
    return Values{made, given};
  };
  return add_several(self, "randomTensor", {state}, std::move(compute), {type, c10::kInt});
}

@end
