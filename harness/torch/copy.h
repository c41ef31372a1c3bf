// Copies between the device and the CPU, and on the device.
#pragma once

#include <ATen/core/Tensor.h>

namespace mps_sim {

at::Tensor& copy_(at::Tensor& self, const at::Tensor& source, bool non_blocking);
at::Tensor copy_from(const at::Tensor& self, const at::Tensor& target, bool non_blocking);
at::Tensor copy_from_and_resize(const at::Tensor& self, const at::Tensor& target);
c10::Scalar local_scalar_dense(const at::Tensor& self);

}  // namespace mps_sim
