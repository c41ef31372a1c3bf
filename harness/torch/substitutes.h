// Operators that the CPU has not, in terms of those it has.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/stack.h>

#include <optional>
#include <string>

namespace mps_sim {

using Substitute = void (*)(torch::jit::Stack*);

Substitute substitute_for(const std::string& name);
bool is_random_substitute(const std::string& name);

// The generator of the kernel that runs on the calling thread, for substitutes without such an argument.
std::optional<at::Generator>& kernel_generator();

}  // namespace mps_sim
