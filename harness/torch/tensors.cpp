// From a tensor to layout and memory, and back to a CPU tensor over the same memory. The way back makes a new tensor each
// time: it must not share an object with Python, and must not outlive the kernel.
#include "tensors.h"

#include <ATen/EmptyTensor.h>

#include <cstring>

#include "announce.h"

namespace mps_sim {

Layout layout_of(const at::Tensor& tensor) {
  const auto sizes = tensor.sizes();
  const auto strides = tensor.strides();
  return {c10::DimVector(sizes.begin(), sizes.end()), c10::DimVector(strides.begin(), strides.end()),
          tensor.scalar_type(), tensor.is_conj(), tensor.is_neg()};
}

c10::Storage cpu_storage(const MemoryRange& memory) {
  return {c10::Storage::use_byte_size_t(), memory.bytes, at::DataPtr(memory.base, c10::Device(c10::DeviceType::CPU)),
          nullptr, false};
}

at::Tensor alias(const Layout& layout, const MemoryRange& memory) { return alias(layout, memory, cpu_storage(memory)); }

at::Tensor alias(const Layout& layout, const MemoryRange& memory, c10::Storage storage) {
  auto tensor = at::detail::make_tensor<c10::TensorImpl>(
      std::move(storage), c10::DispatchKeySet(c10::DispatchKey::CPU), c10::scalarTypeToTypeMeta(layout.dtype));
  tensor.unsafeGetTensorImpl()->set_sizes_and_strides(layout.sizes, layout.strides, memory.storage_offset);
  if (layout.is_conj) tensor._set_conj(true);
  if (layout.is_neg) tensor._set_neg(true);
  return tensor;
}

at::Tensor private_copy(const at::Tensor& tensor) {
  at::Tensor copy;
  if (tensor.dim() == 0 && !tensor.is_conj() && !tensor.is_neg() && !tensor._is_zerotensor()) {
    copy = at::detail::empty_cpu({}, tensor.scalar_type());
    std::memcpy(copy.mutable_data_ptr(), tensor.const_data_ptr(), tensor.element_size());
  } else {
    copy = tensor.clone();
  }
  if (tensor.unsafeGetTensorImpl()->is_wrapped_number()) copy.unsafeGetTensorImpl()->set_wrapped_number(true);
  return copy;
}

void copy_values(const Layout& to_layout, const MemoryRange& to, const at::Tensor& from) {
  announce_write(to_layout, to);
  const bool is_one_storage = from.storage().data() == to.base;
  at::Tensor target = is_one_storage ? alias(to_layout, to, from.storage()) : alias(to_layout, to);
  const bool is_plain = !is_one_storage && !to_layout.is_conj && !to_layout.is_neg && !from.is_conj() && !from.is_neg();
  const Announced announced;
  if (is_plain && from.scalar_type() == to_layout.dtype && from.is_non_overlapping_and_dense() &&
      from.sizes() == target.sizes() && from.strides() == target.strides()) {
    std::memcpy(target.mutable_data_ptr(), from.const_data_ptr(), from.nbytes());
  } else {
    target.copy_(from);
  }
}

}  // namespace mps_sim
