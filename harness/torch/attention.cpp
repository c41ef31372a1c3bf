#include "attention.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/_scaled_dot_product_attention_math_ops.h>
#include <ATen/ops/scaled_dot_product_attention_ops.h>
#include <c10/core/GradMode.h>

#include <limits>

#include "side_copies.h"

namespace mps_sim {

namespace {

std::optional<at::Tensor> additive(const std::optional<at::Tensor>& mask, c10::ScalarType dtype) {
  if (!mask.has_value() || !mask->defined() || mask->scalar_type() != c10::ScalarType::Bool) return mask;
  const at::Tensor zeros = mask->new_zeros(mask->sizes(), mask->options().dtype(dtype));
  return zeros.masked_fill(mask->logical_not(), -std::numeric_limits<double>::infinity());
}

}  // namespace

at::Tensor attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                     const std::optional<at::Tensor>& mask, double dropout_p, bool is_causal,
                     std::optional<double> scale, bool enable_gqa) {
  const AttentionScope scope;
  const bool has_mask = mask.has_value() && mask->defined();
  const bool needs_grad = c10::GradMode::is_enabled() &&
                          (query.requires_grad() || key.requires_grad() || value.requires_grad() ||
                           (has_mask && mask->requires_grad()));
  if (needs_grad || dropout_p > 0) {
    const auto added = additive(mask, query.scalar_type());
    return std::get<0>(at::_ops::_scaled_dot_product_attention_math::call(query, key, value, added, dropout_p,
                                                                          is_causal, {}, scale, enable_gqa));
  }
  at::AutoDispatchBelowAutograd below;
  return at::_ops::scaled_dot_product_attention::call(query, key, value, mask, dropout_p, is_causal, scale, enable_gqa);
}

}  // namespace mps_sim
