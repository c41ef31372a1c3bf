// What a torch for Linux lacks and torchgen registers in an MPS build: the few operators that copies need for tensors of their own.
// They come before the tree's functions are called.
#ifndef __APPLE__
#include <ATen/core/Tensor.h>
#include <ATen/ops/view_native.h>
#include <torch/library.h>

#include "native_declarations.h"

namespace at::native {
Tensor _copy_from_mps(const Tensor&, const Tensor&, bool);
Tensor as_strided_tensorimpl_mps(const Tensor&, IntArrayRef, IntArrayRef, std::optional<int64_t>);
}  // namespace at::native

namespace {

at::Tensor& copy(at::Tensor& self, const at::Tensor& source, bool is_non_blocking) {
  at::native::_copy_from_mps(source, self, is_non_blocking);
  return self;
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, MPS, library) {
  library.impl("empty.memory_format", TORCH_FN(at::native::empty_mps));
  library.impl("empty_strided", TORCH_FN(at::native::empty_strided_mps));
  library.impl("as_strided", TORCH_FN(at::native::as_strided_tensorimpl_mps));
  library.impl("view", TORCH_FN(at::native::view));
  library.impl("copy_", TORCH_FN(copy));
}
#endif
