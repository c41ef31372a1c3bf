// What torchgen declares in an MPS build only: the ATen/ops/*_native.h of a torch for Linux lack it.
#pragma once

#include <ATen/Tensor.h>

namespace at::native {
Tensor empty_mps(IntArrayRef size, std::optional<ScalarType> dtype = {}, std::optional<Layout> layout = {},
                 std::optional<Device> device = {}, std::optional<bool> pin_memory = {},
                 std::optional<MemoryFormat> memory_format = std::nullopt);
Tensor empty_strided_mps(IntArrayRef size, IntArrayRef stride, std::optional<ScalarType> dtype, std::optional<Layout> layout,
                         std::optional<Device> device, std::optional<bool> pin_memory = {});
}  // namespace at::native
