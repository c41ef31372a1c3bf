// The device's generator: a seed and an offset. A kernel draws when it is submitted and not when it runs, so that its
// numbers follow from the order of submission, whatever the streams do. The fault generator_unlocked reads the offset and
// writes it back later: two calls then get the same numbers.
#include "generator.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>

#include <cstring>

#include "device_type.h"
#include "runtime/faults.h"

namespace mps_sim {

namespace {

struct State {
  uint64_t seed = c10::detail::getNonDeterministicRandom();
  uint64_t offset = 0;
};

class DeviceGenerator final : public c10::GeneratorImpl {
 public:
  DeviceGenerator() : c10::GeneratorImpl(the_device(), c10::DispatchKeySet(kDispatchKey)) {}

  void set_current_seed(uint64_t seed) override { state_ = {seed, 0}; }
  void set_offset(uint64_t offset) override { state_.offset = offset; }
  uint64_t get_offset() const override { return state_.offset; }
  uint64_t current_seed() const override { return state_.seed; }
  uint64_t seed() override {
    state_ = State{};
    return state_.seed;
  }

  void set_state(const c10::TensorImpl& new_state) override {
    TORCH_CHECK(new_state.device().is_cpu() && new_state.dtype() == caffe2::TypeMeta::Make<uint8_t>() &&
                    new_state.is_contiguous() && new_state.numel() == sizeof(State),
                "RNG state must be a contiguous CPU torch.ByteTensor of ", sizeof(State), " elements");
    std::memcpy(&state_, new_state.data(), sizeof(State));
  }

  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    at::Tensor state = at::detail::empty_cpu({sizeof(State)}, c10::ScalarType::Byte);
    std::memcpy(state.mutable_data_ptr(), &state_, sizeof(State));
    return state.getIntrusivePtr();
  }

  State state() const { return state_; }
  static c10::DeviceType device_type() { return kDeviceType; }

 private:
  DeviceGenerator* clone_impl() const override {
    auto* copy = new DeviceGenerator;
    copy->state_ = state_;
    return copy;
  }

  State state_;
};

uint32_t scramble(uint32_t x) {  // The finalizer of MurmurHash3: one-to-one.
  x = (x ^ (x >> 16)) * 0x85ebca6bU;
  x = (x ^ (x >> 13)) * 0xc2b2ae35U;
  return x ^ (x >> 16);
}

// The CPU's generator takes 32 bits: for one seed, no two offsets give the same.
uint32_t cpu_seed(const State& state) {
  auto seed = scramble(static_cast<uint32_t>(state.seed) + 0x9e3779b9U * static_cast<uint32_t>(state.seed >> 32));
  return scramble(static_cast<uint32_t>(state.offset) ^ seed);
}

}  // namespace

const at::Generator& default_generator() {
  static const auto* const one = [] {
    auto* made = new at::Generator(at::make_generator<DeviceGenerator>());
    made->set_current_seed(c10::default_rng_seed_val);
    return made;
  }();
  return *one;
}

at::Generator new_generator() { return at::make_generator<DeviceGenerator>(); }

void seed_default_generator(uint64_t seed) {
  at::Generator generator = default_generator();
  std::lock_guard<std::mutex> guard(generator.mutex());
  generator.set_current_seed(seed);
}

SeedDraw::SeedDraw(const std::optional<at::Generator>& given) {
  at::Generator generator = given.has_value() && given->defined() ? *given : default_generator();
  TORCH_CHECK(generator.device().type() == kDeviceType, "Expected a '", kDeviceType,
              "' device type for generator but found '", generator.device().type(), "'");
  auto* device_generator = generator.get<DeviceGenerator>();
  if (strikes(Fault::generator_unlocked)) {
    const State state = device_generator->state();
    window(Fault::generator_unlocked);
    seed = cpu_seed(state);
    next_offset_ = state.offset + 1;
    written_back_late_ = std::move(generator);
    return;
  }
  std::lock_guard<std::mutex> guard(device_generator->mutex_);
  const State state = device_generator->state();
  device_generator->set_offset(state.offset + 1);
  seed = cpu_seed(state);
}

SeedDraw::~SeedDraw() {
  if (written_back_late_.has_value()) written_back_late_->get<DeviceGenerator>()->set_offset(next_offset_);
}

at::Generator cpu_generator(uint32_t seed) { return at::detail::createCPUGenerator(seed); }

}  // namespace mps_sim
