// What nearly every source of a tree's core, and of its operators, includes, read by the compiler once for all of them: the
// simulated macOS, torch's headers and the tree's own. Not ATen/ATen.h: a function such as at::pow hides the C library's from code
// in at::native. Each operator's header is included by the source itself, as in PyTorch's own build.
#pragma once

#include <simulated/macos.h>

#include <ATen/core/Tensor.h>
#include <ATen/Dispatch.h>
#include <ATen/ExpandUtils.h>
#include <ATen/TensorUtils.h>
#include <ATen/native/Resize.h>
#include <MetalPerformanceShadersGraph/MetalPerformanceShadersGraph.h>
#include <torch/library.h>

// int64_t is `long long` on a Mac and `long` here; PyTorch's sources compare it with literals of the Mac's type.
namespace std {
inline long max(long one, long long other) { return one < other ? static_cast<long>(other) : one; }
inline long min(long one, long long other) { return one < other ? one : static_cast<long>(other); }
}  // namespace std

// A tree's own, by the path that stress/device/core/precompiled.py gives it: torch brings headers of these names as well.
#if __has_include("/mps-stress-tree/ATen/native/mps/OperationUtils.h")
#include <ATen/native/mps/OperationUtils.h>
#endif
#if __has_include("/mps-stress-tree/ATen/mps/MPSProfiler.h")
#include <ATen/mps/MPSProfiler.h>
#endif

// Headers define it, and sources that include all operators' headers must not see it.
#undef TORCH_ASSERT_ONLY_METHOD_OPERATORS
