// Attention. With a gradient or dropout it is torch's own operators, as the CPU chooses them; without it is one operator.
// While it runs, nobody waits for side copies: that is the fault op_pair_order (see side_copies.h).
#include "attention.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/_scaled_dot_product_attention_math_ops.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_ops.h>
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

bool has_flash_shape(const at::Tensor& tensor) {
  return tensor.dim() == 4 && tensor.numel() > 0 && tensor.stride(-1) == 1;
}

// What the CPU asks of the inputs of its own fused operator, so that training takes the same path as there.
bool can_be_fused(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                  const std::optional<at::Tensor>& mask, bool is_causal) {
  if (!has_flash_shape(query) || !has_flash_shape(key) || !has_flash_shape(value)) return false;
  const bool is_one_head_size = query.size(3) == key.size(3) && query.size(3) == value.size(3);
  const bool is_one_batch = query.sizes().slice(0, 2) == key.sizes().slice(0, 2) &&
                            key.sizes().slice(0, 3) == value.sizes().slice(0, 3);
  if (!is_one_head_size || !is_one_batch) return false;
  if (!mask.has_value() || !mask->defined()) return true;
  return !is_causal && !mask->requires_grad() && (mask->dim() == 2 || mask->dim() == 4) &&
         mask->size(-2) == query.size(2) && mask->size(-1) == key.size(2);
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
  if (needs_grad && dropout_p == 0 && !enable_gqa && can_be_fused(query, key, value, mask, is_causal)) {
    return std::get<0>(at::_ops::_scaled_dot_product_flash_attention_for_cpu::call(
        query, key, value, dropout_p, is_causal, additive(mask, query.scalar_type()), scale));
  }
  if (needs_grad || dropout_p > 0) {
    const auto added = additive(mask, query.scalar_type());
    return std::get<0>(at::_ops::_scaled_dot_product_attention_math::call(query, key, value, added, dropout_p,
                                                                          is_causal, {}, scale, enable_gqa));
  }
  at::AutoDispatchBelowAutograd below;
  return at::_ops::scaled_dot_product_attention::call(query, key, value, mask, dropout_p, is_causal, scale, enable_gqa);
}

}  // namespace mps_sim
