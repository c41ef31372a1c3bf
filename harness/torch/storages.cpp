// Where tensors of the model lie: memory from its allocator, grown on the stream. `core/storages.mm` is the same for a
// PyTorch tree's own allocator.
#include <ATen/EmptyTensor.h>
#include <c10/core/Allocator.h>

#include <cstring>

#include "errors.h"
#include "launch.h"
#include "side_copies.h"
#include "tensors.h"

namespace mps_sim {

MemoryRange memory_of(const at::Tensor& tensor) {
  TORCH_CHECK_NOT_IMPLEMENTED(tensor.layout() == c10::kStrided && tensor.has_storage(),
                              "simulated device: only dense tensors are supported, not ", tensor.layout());
  const c10::Storage& storage = tensor.unsafeGetTensorImpl()->unsafe_storage();
  return {storage.mutable_data(), storage.nbytes(), tensor.storage_offset()};
}

MemoryRange memory_for(const at::Tensor& tensor, StreamId stream) {
  MemoryRange memory = memory_of(tensor);
  wait_for_side_copies(memory.base, stream);
  memory.owner = order::owner_of(memory.base);
  return memory;
}

void check_dtype_supported(c10::ScalarType dtype) {
  TORCH_CHECK_TYPE(dtype != c10::ScalarType::Double,
                   "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64. Please "
                   "use float32 instead.");
  TORCH_CHECK_TYPE(dtype != c10::ScalarType::ComplexDouble,
                   "Trying to convert ComplexDouble to the MPS backend but it does not have support for that dtype.");
}

at::Tensor empty_on_device(c10::IntArrayRef sizes, c10::IntArrayRef strides, c10::ScalarType dtype) {
  check_dtype_supported(dtype);
  return at::detail::empty_strided_generic(sizes, strides, c10::GetAllocator(kDeviceType),
                                           c10::DispatchKeySet(kDispatchKey), dtype);
}

void grow_storage(const at::Tensor& tensor) {
  auto* impl = tensor.unsafeGetTensorImpl();
  const c10::Storage& storage = impl->unsafe_storage();
  size_t bytes = at::detail::computeStorageNbytes(impl->sizes(), impl->strides(), impl->itemsize(),
                                                  static_cast<size_t>(impl->storage_offset()));
  if (impl->numel() == 0 || bytes <= storage.nbytes()) return;
  TORCH_CHECK(storage.resizable(), "Trying to resize storage that is not resizable");
  at::DataPtr grown = c10::GetAllocator(kDeviceType)->allocate(bytes);
  const size_t kept_bytes = storage.nbytes();
  if (kept_bytes > 0) {
    const StreamId stream = current_stream();
    void* to = grown.get();
    const MemoryRange from = memory_for(tensor, stream);
    enqueue(stream, "resize_storage", [to, from, kept_bytes, owner = order::owner_of(to)] {
      order::touch(from.owner, from.base, kept_bytes, false);
      order::touch(owner, to, kept_bytes, true);
      std::memcpy(to, from.base, kept_bytes);
    });
  }
  storage.unsafeGetStorageImpl()->set_data_ptr_noswap(std::move(grown));
  storage.unsafeGetStorageImpl()->set_nbytes(bytes);
}

void resize_on_device(const at::Tensor& tensor, c10::IntArrayRef sizes) {
  tensor.unsafeGetTensorImpl()->set_sizes_contiguous(sizes);
  grow_storage(tensor);
}

}  // namespace mps_sim
