// The device's random numbers: every submission draws one seed for a CPU generator of its own, so that the numbers
// follow from the order of submission alone.
#pragma once

#include <ATen/core/Generator.h>

#include <optional>

namespace mps_sim {

const at::Generator& default_generator();
at::Generator new_generator();
void seed_default_generator(uint64_t seed);

// One draw from the given generator, or the default one, which it advances.
class SeedDraw {
 public:
  explicit SeedDraw(const std::optional<at::Generator>& generator);
  ~SeedDraw();
  SeedDraw(const SeedDraw&) = delete;
  SeedDraw& operator=(const SeedDraw&) = delete;

  uint32_t seed = 0;

 private:
  // The fault generator_unlocked: the state is written back only when the operation has been encoded.
  std::optional<at::Generator> written_back_late_;
  uint64_t next_offset_ = 0;
};

at::Generator cpu_generator(uint32_t seed);

}  // namespace mps_sim
