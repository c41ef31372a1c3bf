// Scaled dot-product attention of the device.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace mps_sim {

// Attention is one operator, or with dropout and for unusual shapes torch's own sequence of operators.
at::Tensor attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                     const std::optional<at::Tensor>& mask, double dropout_p, bool is_causal,
                     std::optional<double> scale, bool enable_gqa);

}  // namespace mps_sim
