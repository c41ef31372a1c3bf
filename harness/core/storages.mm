// Where tensors of a PyTorch tree's own core lie: in MTLBuffers from the tree's allocator. What a kernel touches is the memory
// behind such a buffer, whatever its storage mode: a GPU sees it all.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/resize.h>

#include "core/device.h"
#include "simulated_metal/simulated_metal.h"
#include "torch/tensors.h"

namespace mps_sim {

MemoryRange memory_of(const at::Tensor& tensor) {
  TORCH_CHECK_NOT_IMPLEMENTED(tensor.layout() == c10::kStrided && tensor.has_storage(),
                              "simulated Metal: only dense tensors are supported, not ", tensor.layout());
  const c10::Storage& storage = tensor.unsafeGetTensorImpl()->unsafe_storage();
  const void* buffer = storage.data();
  return {buffer == nullptr ? nullptr : simulated::memory(buffer), storage.nbytes(), tensor.storage_offset()};
}

MemoryRange memory_for(const at::Tensor& tensor, StreamId) {
  const MemoryRange memory = memory_of(tensor);
  note_buffer(const_cast<void*>(tensor.unsafeGetTensorImpl()->unsafe_storage().data()));
  return memory;
}

at::Tensor empty_on_device(c10::IntArrayRef sizes, c10::IntArrayRef strides, c10::ScalarType dtype) {
  return at::empty_strided(sizes, strides, at::TensorOptions(the_device()).dtype(dtype));
}

void resize_on_device(const at::Tensor& tensor, c10::IntArrayRef sizes) { tensor.resize_(sizes); }

}  // namespace mps_sim
