// Operators that the CPU has not, made of operators that it has. They run where a kernel runs, on CPU tensors, and on
// meta tensors where the outputs' shapes are inferred.
#include "substitutes.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_scaled_dot_product_attention_math.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros_like.h>

#include <unordered_map>

namespace mps_sim {

namespace {

using torch::jit::Stack;

at::Tensor optional_tensor(const c10::IValue& value) { return value.isTensor() ? value.toTensor() : at::Tensor(); }

template <typename... Results>
void put(Stack* stack, Results&&... results) {
  stack->clear();
  (stack->emplace_back(std::forward<Results>(results)), ...);
}

void linear_backward(Stack* stack) {
  const Stack& arguments = *stack;
  at::Tensor input = arguments[0].toTensor(), grad = arguments[1].toTensor(), weight = arguments[2].toTensor();
  const std::vector<bool> mask = arguments[3].toBoolList().vec();
  const at::Tensor rows = grad.reshape({-1, grad.size(-1)});
  at::Tensor grad_input, grad_weight, grad_bias;
  if (mask[0]) grad_input = rows.mm(weight).reshape(input.sizes());
  if (mask[1]) grad_weight = rows.t().mm(input.reshape({-1, input.size(-1)}));
  if (mask[2]) grad_bias = rows.sum(0);
  put(stack, grad_input, grad_weight, grad_bias);
}

void convolution(Stack* stack) {
  const Stack& a = *stack;
  put(stack, at::convolution(a[0].toTensor(), a[1].toTensor(), optional_tensor(a[2]), a[3].toIntVector(),
                             a[4].toIntVector(), a[5].toIntVector(), a[6].toBool(), a[7].toIntVector(), a[8].toInt()));
}

void convolution_backward(Stack* stack) {
  const Stack& a = *stack;
  const std::vector<bool> mask = a[9].toBoolList().vec();
  const int64_t bias_size = a[0].toTensor().size(1);
  auto [grad_input, grad_weight, grad_bias] = at::convolution_backward(
      a[0].toTensor(), a[1].toTensor(), a[2].toTensor(), at::OptionalIntArrayRef(bias_size), a[3].toIntVector(),
      a[4].toIntVector(), a[5].toIntVector(), a[6].toBool(), a[7].toIntVector(), a[8].toInt(),
      {mask[0], mask[1], mask[2]});
  put(stack, grad_input, grad_weight, grad_bias);
}

void attention_math(Stack* stack) {
  const Stack& a = *stack;
  std::optional<at::Tensor> mask, dropout_mask;
  if (a[3].isTensor()) mask = a[3].toTensor();
  if (a[6].isTensor()) dropout_mask = a[6].toTensor();
  auto [output, weights] = at::_scaled_dot_product_attention_math(a[0].toTensor(), a[1].toTensor(), a[2].toTensor(),
                                                                  mask, a[4].toDouble(), a[5].toBool(), dropout_mask,
                                                                  a[7].toOptional<double>());
  put(stack, output, weights);
}

void dropout(Stack* stack) {
  const at::Tensor input = (*stack)[0].toTensor();
  const double p = (*stack)[1].toDouble();
  const bool trains = (*stack)[2].isNone() || (*stack)[2].toBool();
  if (!trains || p == 0 || input.numel() == 0) {
    put(stack, input.clone(), at::ones_like(input, input.options().dtype(c10::kBool)));
    return;
  }
  at::Tensor mask = at::empty_like(input, input.options().dtype(c10::kBool)).bernoulli_(1 - p, kernel_generator());
  put(stack, p == 1 ? at::zeros_like(input) : input * mask * (1 / (1 - p)), mask);
}

// torch runs recurrent cells fused where the device is registered as PrivateUse1.
void lstm_cell(Stack* stack) {
  const Stack& a = *stack;
  at::Tensor gates = a[0].toTensor() + a[1].toTensor();
  if (a[3].isTensor()) gates = gates + a[3].toTensor() + a[4].toTensor();
  auto parts = gates.chunk(4, 1);
  at::Tensor in = parts[0].sigmoid(), forget = parts[1].sigmoid(), cell = parts[2].tanh(), out = parts[3].sigmoid();
  at::Tensor cy = forget * a[2].toTensor() + in * cell;
  put(stack, out * cy.tanh(), cy, at::cat({in, forget, cell, out}, 1));
}

void lstm_cell_backward(Stack* stack) {
  const Stack& a = *stack;
  at::Tensor cx = a[2].toTensor(), tanh_cy = a[3].toTensor().tanh();
  const bool has_bias = a[5].toBool();
  auto parts = a[4].toTensor().chunk(4, 1);
  at::Tensor in = parts[0], forget = parts[1], cell = parts[2], out = parts[3];
  at::Tensor grad_hy = a[0].isTensor() ? a[0].toTensor() : at::zeros_like(cx);
  at::Tensor grad_cy = grad_hy * out * (1 - tanh_cy * tanh_cy);
  if (a[1].isTensor()) grad_cy = grad_cy + a[1].toTensor();
  at::Tensor grad_gates =
      at::cat({grad_cy * cell * in * (1 - in), grad_cy * cx * forget * (1 - forget),
               grad_cy * in * (1 - cell * cell), grad_hy * tanh_cy * out * (1 - out)},
              1);
  at::Tensor grad_bias = has_bias ? grad_gates.sum(0) : at::Tensor();
  put(stack, grad_gates, grad_cy * forget, grad_bias);
}

void gru_cell(Stack* stack) {
  const Stack& a = *stack;
  at::Tensor input = a[0].toTensor(), hidden = a[1].toTensor(), hx = a[2].toTensor();
  if (a[3].isTensor()) {
    input = input + a[3].toTensor();
    hidden = hidden + a[4].toTensor();
  }
  auto from_input = input.chunk(3, 1), from_hidden = hidden.chunk(3, 1);
  at::Tensor reset = (from_input[0] + from_hidden[0]).sigmoid(), keep = (from_input[1] + from_hidden[1]).sigmoid();
  at::Tensor fresh = (from_input[2] + reset * from_hidden[2]).tanh();
  put(stack, fresh + keep * (hx - fresh), at::cat({reset, keep, fresh, hx, from_hidden[2]}, 1));
}

void gru_cell_backward(Stack* stack) {
  const Stack& a = *stack;
  at::Tensor grad = a[0].toTensor();
  const bool has_bias = a[2].toBool();
  auto parts = a[1].toTensor().chunk(5, 1);
  at::Tensor reset = parts[0], keep = parts[1], fresh = parts[2], hx = parts[3], hidden = parts[4];
  at::Tensor grad_fresh = grad * (1 - keep) * (1 - fresh * fresh);
  at::Tensor grad_keep = grad * (hx - fresh) * keep * (1 - keep);
  at::Tensor grad_reset = grad_fresh * hidden * reset * (1 - reset);
  at::Tensor to_input = at::cat({grad_reset, grad_keep, grad_fresh}, 1);
  at::Tensor to_hidden = at::cat({grad_reset, grad_keep, grad_fresh * reset}, 1);
  at::Tensor input_bias = has_bias ? to_input.sum(0) : at::Tensor();
  at::Tensor hidden_bias = has_bias ? to_hidden.sum(0) : at::Tensor();
  put(stack, to_input, to_hidden, grad * keep, input_bias, hidden_bias);
}

const std::unordered_map<std::string, Substitute>& substitutes() {
  static const auto* const table = new std::unordered_map<std::string, Substitute>{
      {"aten::linear_backward", linear_backward},
      {"aten::convolution_overrideable", convolution},
      {"aten::convolution_backward_overrideable", convolution_backward},
      {"aten::_scaled_dot_product_attention_math_for_mps", attention_math},
      {"aten::native_dropout", dropout},
      {"aten::_thnn_fused_lstm_cell", lstm_cell},
      {"aten::_thnn_fused_lstm_cell_backward_impl", lstm_cell_backward},
      {"aten::_thnn_fused_gru_cell", gru_cell},
      {"aten::_thnn_fused_gru_cell_backward", gru_cell_backward},
  };
  return *table;
}

}  // namespace

Substitute substitute_for(const std::string& name) {
  auto found = substitutes().find(name);
  return found != substitutes().end() ? found->second : nullptr;
}

bool is_random_substitute(const std::string& name) { return name == "aten::native_dropout"; }

std::optional<at::Generator>& kernel_generator() {
  thread_local std::optional<at::Generator> generator;
  return generator;
}

}  // namespace mps_sim
