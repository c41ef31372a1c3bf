// Tensors of the device without a kernel: memory, sizes, strides, storages. float64 is refused as MPS refuses it, and a
// tensor of zeros that autograd knows to be zero has no memory at all.
#include "factories.h"

#include <ATen/EmptyTensor.h>
#include <c10/core/DefaultDtype.h>

#include "errors.h"
#include "tensors.h"

namespace mps_sim {

namespace {

c10::ScalarType checked_dtype(std::optional<c10::ScalarType> dtype, std::optional<c10::Layout> layout,
                              std::optional<bool> pin_memory) {
  TORCH_CHECK_NOT_IMPLEMENTED(layout.value_or(c10::kStrided) == c10::kStrided,
                              "simulated device: only dense tensors are supported, not ", *layout);
  TORCH_CHECK(!pin_memory.value_or(false), "Only dense CPU tensors can be pinned");
  const c10::ScalarType chosen = dtype.value_or(c10::get_default_dtype_as_scalartype());
  check_dtype_supported(chosen);
  return chosen;
}

// Allocates nothing: tensors of autograd's that are known to be zero.
class ZeroTensorAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t) override { return {nullptr, nullptr, &nothing_to_free, the_device()}; }
  c10::DeleterFnPtr raw_deleter() const override { return &nothing_to_free; }
  void copy_data(void*, const void*, std::size_t) const override {}

 private:
  static void nothing_to_free(void*) {}
};

}  // namespace

at::Tensor empty(c10::IntArrayRef sizes, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout> layout,
                 std::optional<c10::Device>, std::optional<bool> pin_memory,
                 std::optional<c10::MemoryFormat> memory_format) {
  return at::detail::empty_generic(sizes, c10::GetAllocator(kDeviceType), c10::DispatchKeySet(kDispatchKey),
                                   checked_dtype(dtype, layout, pin_memory), memory_format);
}

at::Tensor empty_strided(c10::IntArrayRef sizes, c10::IntArrayRef strides, std::optional<c10::ScalarType> dtype,
                         std::optional<c10::Layout> layout, std::optional<c10::Device>,
                         std::optional<bool> pin_memory) {
  return empty_on_device(sizes, strides, checked_dtype(dtype, layout, pin_memory));
}

at::Tensor efficient_zero_tensor(c10::IntArrayRef sizes, std::optional<c10::ScalarType> dtype,
                                 std::optional<c10::Layout> layout, std::optional<c10::Device>,
                                 std::optional<bool> pin_memory) {
  static auto* const allocator = new ZeroTensorAllocator;
  const c10::DispatchKeySet keys({kDispatchKey, c10::DispatchKey::ZeroTensor});
  return at::detail::empty_generic(sizes, allocator, keys, checked_dtype(dtype, layout, pin_memory), std::nullopt);
}

const at::Tensor& resize_(const at::Tensor& self, c10::IntArrayRef sizes,
                          std::optional<c10::MemoryFormat> memory_format) {
  if (self.sizes() != sizes) resize_on_device(self, sizes);
  if (memory_format.has_value()) self.unsafeGetTensorImpl()->empty_tensor_restride(*memory_format);
  return self;
}

at::Tensor& set_storage_(at::Tensor& self, c10::Storage storage, int64_t storage_offset, c10::IntArrayRef sizes,
                         c10::IntArrayRef strides) {
  TORCH_CHECK(storage.device().type() == kDeviceType, "Expected a storage of device type ", kDeviceType, ", not ",
              storage.device().type());
  TORCH_CHECK(storage_offset >= 0, "Tensor: invalid storage offset ", storage_offset);
  auto* impl = self.unsafeGetTensorImpl();
  impl->set_storage_keep_dtype(std::move(storage));
  impl->set_storage_offset(storage_offset);
  if (strides.data() == nullptr) {
    impl->set_sizes_contiguous(sizes);
  } else {
    impl->set_sizes_and_strides(sizes, strides);
  }
  grow_storage(self);
  return self;
}

at::Tensor& set_whole_storage_(at::Tensor& self, c10::Storage storage) {
  const auto elements = static_cast<int64_t>(storage.nbytes() / self.dtype().itemsize());
  return set_storage_(self, std::move(storage), 0, {elements}, {});
}

at::Tensor& set_tensor_(at::Tensor& self, const at::Tensor& source) {
  if (self.is_same(source)) return self;
  return set_storage_(self, source.storage(), source.storage_offset(), source.sizes(), source.strides());
}

at::Tensor& set_empty_(at::Tensor& self) {
  c10::Storage storage(c10::Storage::use_byte_size_t(), 0, c10::GetAllocator(kDeviceType), true);
  return set_storage_(self, std::move(storage), 0, {0}, {});
}

void record_tensor_on_stream(at::Tensor& self, c10::Stream stream) {
  translated([&] { record_stream(memory_of(self).base, static_cast<StreamId>(stream.id())); });
}

}  // namespace mps_sim
