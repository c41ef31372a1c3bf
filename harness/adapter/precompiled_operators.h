// What nearly every source of a tree's operators includes, read by the compiler once for all of them. Not ATen/ATen.h: a function
// such as at::pow hides the C library's from code in at::native. Each operator's header is included by the source itself, as in
// PyTorch's own build.
#pragma once

#include <simulated/macos.h>

#include <ATen/core/Tensor.h>
#include <ATen/TensorUtils.h>
#include <MetalPerformanceShadersGraph/MetalPerformanceShadersGraph.h>
#include <torch/library.h>

// int64_t is `long long` on a Mac and `long` here; PyTorch's sources compare it with literals of the Mac's type.
namespace std {
inline long max(long one, long long other) { return one < other ? static_cast<long>(other) : one; }
inline long min(long one, long long other) { return one < other ? one : static_cast<long>(other); }
}  // namespace std
