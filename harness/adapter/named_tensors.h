// Before sources of a tree that still has named tensors, when the installed torch has none any more. No tensor has names then,
// so `has_names()` becomes a question that is false for every tensor of this device.
#pragma once

#include <ATen/ATen.h>

#if !__has_include(<ATen/NamedTensorUtils.h>)
#include <cstdlib>

namespace at::native {
inline const Tensor& resize_named_tensor_(const Tensor&, IntArrayRef, std::optional<MemoryFormat>) { std::abort(); }
}  // namespace at::native

#define has_names() is_mkldnn()
#endif
