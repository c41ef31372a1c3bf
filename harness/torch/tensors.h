// What work on a stream needs of a tensor. Never an at::Tensor of the caller: it may own a Python object, which a
// stream's thread must not release.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/DimVector.h>

#include "device_type.h"
#include "runtime/device.h"
#include "runtime/order.h"

namespace mps_sim {

struct Layout {
  c10::DimVector sizes, strides;
  c10::ScalarType dtype;
  bool is_conj = false, is_neg = false;
};

struct MemoryRange {  // A storage, and where in it a tensor begins.
  void* base;
  size_t bytes;
  int64_t storage_offset;
  order::OwnerRef owner{};  // Of the memory, when the work was submitted.
};

inline bool is_on_device(const at::Tensor& tensor) { return tensor.device().type() == kDeviceType; }

Layout layout_of(const at::Tensor& tensor);

// For a device tensor about to be used on `stream`; makes that stream wait for work on the tensor beside it.
MemoryRange memory_for(const at::Tensor& tensor, StreamId stream);

MemoryRange memory_of(const at::Tensor& tensor);

// A CPU tensor over device memory, for use on a stream's thread.
at::Tensor alias(const Layout& layout, const MemoryRange& memory);

// Tensors of one kernel share their storage if they did on the device: torch's CPU code looks for overlaps.
c10::Storage cpu_storage(const MemoryRange& memory);
at::Tensor alias(const Layout& layout, const MemoryRange& memory, c10::Storage storage);

// Uninitialised device memory of the current stream.
at::Tensor empty_on_device(c10::IntArrayRef sizes, c10::IntArrayRef strides, c10::ScalarType dtype);

// A copy of a CPU tensor that no Python object knows; keeps what type promotion asks for.
at::Tensor private_copy(const at::Tensor& tensor);

void check_dtype_supported(c10::ScalarType dtype);

// The sizes change, the storage grows as needed; what it held stays.
void resize_on_device(const at::Tensor& tensor, c10::IntArrayRef sizes);
void grow_storage(const at::Tensor& tensor);

// Copies values on a stream's thread, as torch's CPU copy does.
void copy_values(const Layout& to_layout, const MemoryRange& to, const at::Tensor& from);

}  // namespace mps_sim
