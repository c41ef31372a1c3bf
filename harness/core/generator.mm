// Random operators on a PyTorch tree's own core: the tree's generator is advanced as the tree's operators advance it, under its
// lock, and its new state seeds a generator of the CPU's, whose kernel runs.
#include "torch/generator.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/mps/MPSGeneratorImpl.h>

namespace mps_sim {

SeedDraw::SeedDraw(const std::optional<at::Generator>& given) {
  auto* generator =
      at::get_generator_or_default<at::MPSGeneratorImpl>(given, at::mps::detail::getDefaultMPSGenerator());
  std::lock_guard<std::mutex> guard(generator->mutex_);
  generator->update_philox_counters();
  const uint32_t* state = generator->state_data();  // 1 to 4: the numbers just drawn. 5 and 6: the seed.
  seed = state[1] ^ (state[5] * 0x9e3779b9U) ^ state[6];
}

SeedDraw::~SeedDraw() = default;

at::Generator cpu_generator(uint32_t seed) { return at::detail::createCPUGenerator(seed); }

}  // namespace mps_sim
