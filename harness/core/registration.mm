// Which function of a PyTorch tree's own core serves which operator: memory, copies and views. torchgen makes this list in an
// MPS build; a torch for Linux was built without it. The rest: torch/fallback_registration.cpp. With the tree's own operators
// (MPS_STRESS_TREE_OPERATORS) torchgen does make the list, all but `copy_`.
#include <ATen/EmptyTensor.h>
#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/mps/Copy.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/view_native.h>
#include <torch/library.h>

#include "core/device.h"
#include "runtime/order_host.h"
#include "torch/errors.h"
#include "torch/fallback.h"

namespace at::native {  // torchgen declares them for an MPS build only.
Tensor empty_mps(IntArrayRef, std::optional<ScalarType>, std::optional<Layout>, std::optional<Device>,
                 std::optional<bool>, std::optional<MemoryFormat>);
Tensor empty_strided_mps(IntArrayRef, IntArrayRef, std::optional<ScalarType>, std::optional<Layout>,
                         std::optional<Device>, std::optional<bool>);
Tensor _efficientzerotensor_mps(IntArrayRef, std::optional<ScalarType>, std::optional<Layout>, std::optional<Device>,
                                std::optional<bool>);
Tensor _copy_from_mps(const Tensor&, const Tensor&, bool);
Tensor _copy_from_and_resize_mps(const Tensor&, const Tensor&);
const Tensor& resize_mps_(const Tensor&, IntArrayRef, std::optional<MemoryFormat>);
Tensor& set_mps_(Tensor&);
Tensor& set_storage_mps_(Tensor&, Storage, int64_t, IntArrayRef, IntArrayRef);
Tensor as_strided_tensorimpl_mps(const Tensor&, IntArrayRef, IntArrayRef, std::optional<int64_t>);
}  // namespace at::native

namespace mps_sim {

namespace {

// at::native::copy_ calls mps_copy_ only in a torch that was built with MPS; these are the checks that it makes before.
at::Tensor& copy_(at::Tensor& self, const at::Tensor& source, bool non_blocking) {
  if (self.is_same(source)) return self;
  if (source._is_zerotensor()) return self.zero_();
  const bool is_same_memory = self.is_alias_of(source) && self.storage_offset() == source.storage_offset() &&
                              self.sizes() == source.sizes() && self.strides() == source.strides() &&
                              self.scalar_type() == source.scalar_type() && self.is_conj() == source.is_conj() &&
                              self.is_neg() == source.is_neg();
  if (is_same_memory) return self;
  const at::TensorIterator checked = at::TensorIteratorConfig()
                                         .add_output(self)
                                         .add_const_input(source)
                                         .resize_outputs(false)
                                         .check_all_same_dtype(false)
                                         .check_all_same_device(false)
                                         .build();
  if (checked.numel() == 0) return self;
  at::native::mps::mps_copy_(self, source, non_blocking);
  if (self.device().is_cpu() && !non_blocking) {
    order::wait_returned(current_stream(), "copy_");
    translated([] { raise_kernel_error(); });
  }
  return self;
}

#ifndef MPS_STRESS_TREE_OPERATORS

c10::Scalar local_scalar_dense(const at::Tensor& self) {
  at::Tensor value = at::detail::empty_cpu(self.sizes(), self.scalar_type());
  copy_(value, self, false);
  return value.item();
}

at::Tensor& set_storage_(at::Tensor& self, c10::Storage storage, int64_t storage_offset, c10::IntArrayRef sizes,
                         c10::IntArrayRef strides) {
  return at::native::set_storage_mps_(self, std::move(storage), storage_offset, sizes, strides);
}

at::Tensor& set_whole_storage_(at::Tensor& self, c10::Storage storage) {
  const auto elements = static_cast<int64_t>(storage.nbytes() / self.dtype().itemsize());
  return set_storage_(self, std::move(storage), 0, {elements}, {});
}

at::Tensor& set_tensor_(at::Tensor& self, const at::Tensor& source) {
  if (self.is_same(source)) return self;
  return set_storage_(self, source.storage(), source.storage_offset(), source.sizes(), source.strides());
}

#endif

}  // namespace

TORCH_LIBRARY_IMPL(aten, MPS, library) {
  library.impl("copy_", TORCH_FN(copy_));
#ifndef MPS_STRESS_TREE_OPERATORS
  library.impl("empty.memory_format", TORCH_FN(at::native::empty_mps));
  library.impl("empty_strided", TORCH_FN(at::native::empty_strided_mps));
  library.impl("_efficientzerotensor", TORCH_FN(at::native::_efficientzerotensor_mps));
  library.impl("as_strided", TORCH_FN(at::native::as_strided_tensorimpl_mps));
  library.impl("view", TORCH_FN(at::native::view));
  library.impl("_reshape_alias", TORCH_FN(at::native::_reshape_alias));
  library.impl("resize_", TORCH_FN(at::native::resize_mps_));
  library.impl("set_.source_Storage_storage_offset", TORCH_FN(set_storage_));
  library.impl("set_.source_Storage", TORCH_FN(set_whole_storage_));
  library.impl("set_.source_Tensor", TORCH_FN(set_tensor_));
  library.impl("set_", TORCH_FN(at::native::set_mps_));
  library.impl("_copy_from", TORCH_FN(at::native::_copy_from_mps));
  library.impl("_copy_from_and_resize", TORCH_FN(at::native::_copy_from_and_resize_mps));
  library.impl("_local_scalar_dense", TORCH_FN(local_scalar_dense));
  // torch has a composition for devices without a kernel of their own, of a dozen operators.
  library.impl("native_layer_norm", torch::CppFunction::makeFromBoxedFunction<&boxed_fallback>());
#endif
}

}  // namespace mps_sim
