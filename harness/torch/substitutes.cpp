// Operators that the CPU has not, made of operators that it has. They run where a kernel runs, on CPU tensors, and on
// meta tensors where the outputs' shapes are inferred.
#include "substitutes.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_scaled_dot_product_attention_math.h>
#include <ATen/ops/bincount.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/stack.h>
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

std::optional<at::Generator> optional_generator(const c10::IValue& value) {
  return value.isGenerator() ? std::optional<at::Generator>(value.toGenerator()) : std::nullopt;
}

// Four-bit weights as torch quantises them: two in a byte, the first above. How a device packs them is its own affair, and
// only the shape of the packed tensor is known: (rows / 8, columns / (tiles * 16), 32, tiles / 2) words.
void convert_weight_to_int4pack(Stack* stack) {
  const at::Tensor weight = (*stack)[0].toTensor();
  const int64_t tiles = (*stack)[1].toInt(), rows = weight.size(0), columns = weight.size(1) * 2;
  TORCH_CHECK(weight.dim() == 2 && weight.scalar_type() == c10::kByte,
              "_convert_weight_to_int4pack: expected a matrix of bytes");
  TORCH_CHECK(tiles == 2 || tiles == 4 || tiles == 8, "_convert_weight_to_int4pack: innerKTiles is 2, 4 or 8");
  TORCH_CHECK(rows % 8 == 0 && columns % (tiles * 16) == 0,
              "_convert_weight_to_int4pack: rows are a multiple of 8, columns one of innerKTiles * 16");
  put(stack, weight.contiguous().view(c10::kInt).reshape({rows / 8, columns / (tiles * 16), 32, tiles / 2}).clone());
}

void weight_int4pack_mm(Stack* stack) {
  const Stack& a = *stack;
  const at::Tensor input = a[0].toTensor(), packed = a[1].toTensor(), scales_and_zeros = a[3].toTensor();
  const int64_t group = a[2].toInt(), rows = packed.size(0) * 8, columns = input.size(1);
  TORCH_CHECK(packed.dim() == 4 && packed.scalar_type() == c10::kInt && packed.numel() * 8 == rows * columns,
              "_weight_int4pack_mm: the packed weight is not of the input's size");
  TORCH_CHECK(scales_and_zeros.dim() == 3 && scales_and_zeros.size(0) * group == columns &&
                  scales_and_zeros.size(1) == rows && scales_and_zeros.size(2) == 2,
              "_weight_int4pack_mm: expected a scale and a zero for each group of each row");
  const at::Tensor bytes = packed.contiguous().view(c10::kByte).reshape({rows, columns / 2});
  const at::Tensor numbers =
      at::stack({bytes.bitwise_right_shift(4), bytes.bitwise_and(15)}, 2).reshape({rows, columns / group, group}).to(c10::kFloat);
  const at::Tensor each = scales_and_zeros.to(c10::kFloat).transpose(0, 1).unsqueeze(2);
  const at::Tensor weight = ((numbers - 8) * each.select(3, 0) + each.select(3, 1)).reshape({rows, columns});
  put(stack, input.to(c10::kFloat).mm(weight.t()).to(input.scalar_type()));
}

// The CPU's has no limits for a truth value, and MPS has none: numbers are drawn, and any but 0 is true.
void random(Stack* stack) {
  const Stack& a = *stack;
  at::Tensor self = a[0].toTensor();
  const std::optional<at::Generator> generator = optional_generator(a.back());
  const bool is_truth = self.scalar_type() == c10::kBool && a.size() > 2;
  at::Tensor numbers = is_truth ? at::empty_like(self, self.options().dtype(c10::kLong)) : self;
  if (a.size() == 2) numbers.random_(generator);
  if (a.size() == 3) numbers.random_(a[1].toInt(), generator);
  if (a.size() == 4) numbers.random_(a[1].toInt(), a[2].toOptional<int64_t>(), generator);
  if (is_truth) self.copy_(numbers);
  put(stack, self);
}

void normal(Stack* stack) {
  const Stack& a = *stack;
  at::Tensor self = a[0].toTensor();
  TORCH_CHECK_TYPE(at::isFloatingType(self.scalar_type()) || at::isComplexType(self.scalar_type()),
                   "normal_: expected floating point numbers, and not ", self.scalar_type());
  self.normal_(a[1].toDouble(), a[2].toDouble(), optional_generator(a[3]));
  put(stack, self);
}

// The CPU answers in float64 where weights are whole numbers, which MPS has not.
void bincount(Stack* stack) {
  const Stack& a = *stack;
  const at::Tensor weights = optional_tensor(a[1]);
  if (!weights.defined() || at::isFloatingType(weights.scalar_type())) {
    put(stack, at::bincount(a[0].toTensor(), weights.defined() ? std::optional<at::Tensor>(weights) : std::nullopt, a[2].toInt()));
    return;
  }
  put(stack, at::bincount(a[0].toTensor(), weights, a[2].toInt()).to(c10::kInt));
}

const std::unordered_map<std::string, Substitute>& substitutes() {
  static const auto* const table = new std::unordered_map<std::string, Substitute>{
      {"aten::linear_backward", linear_backward},
      {"aten::convolution_overrideable", convolution},
      {"aten::convolution_backward_overrideable", convolution_backward},
      {"aten::_scaled_dot_product_attention_math_for_mps", attention_math},
      {"aten::native_dropout", dropout},
      {"aten::_convert_weight_to_int4pack", convert_weight_to_int4pack},
      {"aten::_weight_int4pack_mm", weight_int4pack_mm},
      {"aten::random_", random},
      {"aten::normal_", normal},
      {"aten::bincount", bincount},
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
