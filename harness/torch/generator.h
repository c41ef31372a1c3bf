// The device's random numbers: every submission draws one seed for a CPU generator of its own, so that the numbers
// follow from the order of submission alone.
#pragma once

#include <ATen/core/Generator.h>

#include <optional>

namespace mps_sim {

const at::Generator& default_generator();
at::Generator new_generator();
void seed_default_generator(uint64_t seed);

// Advances the given generator, or the default one.
uint32_t draw_seed(const std::optional<at::Generator>& generator);

at::Generator cpu_generator(uint32_t seed);

}  // namespace mps_sim
