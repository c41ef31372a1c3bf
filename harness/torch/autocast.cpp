// Automatic mixed precision where the device is registered as PrivateUse1; under its own MPS key torch has it.
#ifdef MPS_SIM_PRIVATEUSE1

#include <ATen/autocast_mode.h>
#include <torch/library.h>

#include "device_type.h"

namespace mps_sim {

namespace {

using CastStack = torch::jit::Stack;

at::Tensor cast(const at::Tensor& tensor, c10::ScalarType dtype) {
  const bool is_eligible = tensor.defined() && tensor.device().type() == kDeviceType && tensor.is_floating_point();
  return is_eligible ? tensor.to(dtype) : tensor;
}

c10::IValue cast(const c10::IValue& value, c10::ScalarType dtype) {
  if (value.isTensor()) return cast(value.toTensor(), dtype);
  if (!value.isTensorList()) return value;
  std::vector<at::Tensor> tensors = value.toTensorVector();
  for (at::Tensor& tensor : tensors) tensor = cast(tensor, dtype);
  return tensors;
}

void call_in(c10::ScalarType dtype, const c10::OperatorHandle& op, CastStack* stack) {
  c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::DispatchKey::AutocastPrivateUse1);
  const auto count = static_cast<CastStack::difference_type>(op.schema().arguments().size());
  for (auto value = stack->end() - count; value != stack->end(); ++value) *value = cast(*value, dtype);
  op.callBoxed(stack);
}

void call_in_lower_precision(const c10::OperatorHandle& op, CastStack* stack) {
  call_in(at::autocast::get_autocast_dtype(kDeviceType), op, stack);
}

void call_in_float32(const c10::OperatorHandle& op, CastStack* stack) { call_in(c10::ScalarType::Float, op, stack); }

const char* const kLowerPrecision[] = {
    "_convolution", "addbmm",  "addmm",  "addmv",  "addr",        "baddbmm", "bmm",
    "chain_matmul", "conv1d",  "conv2d", "conv3d", "conv_tbc",    "convolution", "gru_cell",
    "linalg_multi_dot", "linear", "lstm_cell", "matmul", "mm", "mv", "prelu", "rnn_relu_cell", "rnn_tanh_cell",
    "scaled_dot_product_attention",
};

const char* const kFloat32[] = {
    "acos", "asin", "cosh", "cosine_embedding_loss", "cosine_similarity", "cross_entropy_loss", "cumprod", "cumsum",
    "erfinv", "exp", "expm1", "group_norm", "hinge_embedding_loss", "huber_loss", "kl_div", "l1_loss", "layer_norm",
    "log", "log10", "log1p", "log2", "margin_ranking_loss", "mse_loss", "multi_margin_loss", "multilabel_margin_loss",
    "native_layer_norm", "nll_loss", "poisson_nll_loss", "reciprocal", "rsqrt", "sinh", "smooth_l1_loss",
    "soft_margin_loss", "softplus", "tan", "triplet_margin_loss",
};

}  // namespace

TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, library) { library.fallback(torch::CppFunction::makeFallthrough()); }

TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, library) {
  for (const char* name : kLowerPrecision) {
    library.impl(name, torch::CppFunction::makeFromBoxedFunction<&call_in_lower_precision>());
  }
  for (const char* name : kFloat32) {
    library.impl(name, torch::CppFunction::makeFromBoxedFunction<&call_in_float32>());
  }
}

}  // namespace mps_sim

#endif
