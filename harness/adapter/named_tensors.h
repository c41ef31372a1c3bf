// Before sources of a tree that still has named tensors, when the installed torch has none any more. No tensor has names then, so
// `has_names()` becomes a question that is false for every tensor of this device, and what passes names on passes on nothing.
#pragma once

#include <ATen/core/Tensor.h>

#if !__has_include(<ATen/NamedTensorUtils.h>)
#include <cstdlib>
#include <vector>

namespace at {

struct [[maybe_unused]] NoNamesGuard {
  NoNamesGuard() {}
};

namespace namedinference {
struct NoNames {};
template <typename... Any>
NoNames compute_broadcast_outnames(const Any&...) { return {}; }
template <typename... Any>
NoNames broadcast_to_outnames(const Any&...) { return {}; }
template <typename... Any>
void propagate_names_if_nonempty(const Any&...) {}
template <typename... Any>
void propagate_names(const Any&...) {}
}  // namespace namedinference

namespace native {
inline const Tensor& resize_named_tensor_(const Tensor&, IntArrayRef, std::optional<MemoryFormat>) { std::abort(); }
}  // namespace native

}  // namespace at

#define has_names() is_mkldnn()
#endif
