// The tree's answer to operators without a kernel for MPS is compiled and not registered: a dispatch key has one fallback, and
// here that is harness/torch/fallback_registration.cpp, which runs torch's CPU kernels on the tree's stream.
#pragma once

#include <torch/library.h>

#define MPS_STRESS_JOINED_(a, b) a##b
#define MPS_STRESS_JOINED(a, b) MPS_STRESS_JOINED_(a, b)
#undef TORCH_LIBRARY_IMPL
#define TORCH_LIBRARY_IMPL(space, key, library) \
  [[maybe_unused]] static void MPS_STRESS_JOINED(left_out_, __LINE__)(torch::Library & library)
