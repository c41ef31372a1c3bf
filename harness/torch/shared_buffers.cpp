// Linear and LayerNorm with one scratch buffer for all streams. While such a fault is armed every call fills the buffer,
// and only those that strike read their input from it. What the faulty kernels cannot do, errors included, is left to the
// sound ones.
#include "shared_buffers.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/native_layer_norm.h>

#include <cstring>
#include <tuple>

#include "fallback.h"
#include "launch.h"
#include "tensors.h"

namespace mps_sim {

namespace {

constexpr size_t kBufferBytesMax = size_t{1} << 20;

struct Input {  // Of a kernel; undefined where the tensor was not given.
  bool is_given = false;
  Layout layout{};
  MemoryRange memory{};

  at::Tensor tensor() const { return is_given ? read_alias(layout, memory) : at::Tensor(); }
};

Input input_of(const c10::IValue& value, StreamId stream) {
  if (!value.isTensor() || !value.toTensor().defined()) return {};
  return {true, layout_of(value.toTensor()), memory_for(value.toTensor(), stream)};
}

c10::DimVector packed_strides(c10::IntArrayRef sizes) {
  c10::DimVector strides(sizes.size(), 1);
  for (size_t i = sizes.size(); i-- > 1;) strides[i - 1] = strides[i] * sizes[i];
  return strides;
}

bool ends_with(c10::IntArrayRef sizes, c10::IntArrayRef end) {
  return sizes.size() >= end.size() && sizes.slice(sizes.size() - end.size()) == end;
}

// What the faulty kernels can do; anything else, errors included, is left to the sound ones.
bool is_plain(const c10::IValue& value) {
  if (value.isNone()) return true;
  const at::Tensor& tensor = value.toTensor();
  return !tensor.defined() || (is_on_device(tensor) && tensor.scalar_type() == c10::ScalarType::Float &&
                               tensor.numel() > 0 && tensor.nbytes() <= kBufferBytesMax / 2);
}

void* linear_buffer() { return shared_scratch(Fault::linear_shared_scratch, kBufferBytesMax); }

at::Tensor packed(const Input& x) {
  at::Tensor contiguous = x.tensor().contiguous();
  order::touch(order::device_memory(linear_buffer()), linear_buffer(), contiguous.nbytes(), true);
  std::memcpy(linear_buffer(), contiguous.const_data_ptr(), contiguous.nbytes());
  return contiguous;
}

// With the fault armed every call packs its input; only those that strike read it from there.
void linear_beside_buffer(Stack* stack) {
  const StreamId stream = current_stream();
  enqueue(stream, "pack", [x = input_of(torch::jit::peek(*stack, 0, 3), stream)] { packed(x); });
}

void linear_through_buffer(Stack* stack) {
  const StreamId stream = current_stream();
  auto arguments = torch::jit::pop(*stack, 3);
  const at::Tensor& input = arguments[0].toTensor();
  const at::Tensor& weight = arguments[1].toTensor();
  const Input x = input_of(arguments[0], stream), w = input_of(arguments[1], stream),
              bias = input_of(arguments[2], stream);
  c10::DimVector sizes(input.sizes().begin(), input.sizes().end());
  sizes.back() = weight.size(0);
  at::Tensor output = empty_on_device(sizes, packed_strides(sizes), input.scalar_type());
  enqueue(stream, "linear", [=, layout = layout_of(output), memory = memory_for(output, stream)] {
    const at::Tensor own = packed(x);
    window(Fault::linear_shared_scratch);
    const at::Tensor shared = read_alias(
        layout_of(own), {linear_buffer(), own.nbytes(), 0, order::device_memory(linear_buffer())});
    const at::Tensor own_weight = w.tensor(), own_bias = bias.tensor();
    const at::Tensor result = [&] {
      const Announced announced;
      return at::linear(shared, own_weight, own_bias);
    }();
    copy_values(layout, memory, result);
  });
  stack->emplace_back(std::move(output));
}

struct Statistics {
  at::Tensor mean, rstd;
};

// Puts mean and 1 / deviation of each row into the buffer; what it returns lies there.
Statistics shared_statistics(const at::Tensor& values, c10::IntArrayRef normalized, double eps) {
  auto [ignored, mean, rstd] = at::native_layer_norm(values, normalized, {}, {}, eps);
  auto* buffer = static_cast<char*>(shared_scratch(Fault::layer_norm_shared_statistics, kBufferBytesMax));
  const size_t bytes = mean.nbytes();
  order::touch(order::device_memory(buffer), buffer, 2 * bytes, true);
  std::memcpy(buffer, mean.const_data_ptr(), bytes);
  std::memcpy(buffer + bytes, rstd.const_data_ptr(), bytes);
  const Layout layout = layout_of(mean);
  return {alias(layout, {buffer, bytes, 0}), alias(layout, {buffer + bytes, bytes, 0})};
}

void layer_norm_beside_buffer(Stack* stack) {
  const StreamId stream = current_stream();
  enqueue(stream, "layer_norm_statistics",
          [x = input_of(torch::jit::peek(*stack, 0, 5), stream),
           normalized = torch::jit::peek(*stack, 1, 5).toIntVector(), eps = torch::jit::peek(*stack, 4, 5).toDouble()] {
            shared_statistics(x.tensor(), normalized, eps);
          });
}

void layer_norm_through_buffer(Stack* stack) {
  const StreamId stream = current_stream();
  auto arguments = torch::jit::pop(*stack, 5);
  const at::Tensor& input = arguments[0].toTensor();
  const std::vector<int64_t> normalized = arguments[1].toIntVector();
  const double eps = arguments[4].toDouble();
  const Input x = input_of(arguments[0], stream), weight = input_of(arguments[2], stream),
              bias = input_of(arguments[3], stream);
  c10::DimVector sizes(input.sizes().begin(), input.sizes().end()), rows = sizes;
  for (size_t i = sizes.size() - normalized.size(); i < sizes.size(); ++i) rows[i] = 1;
  at::Tensor output = empty_on_device(sizes, packed_strides(sizes), input.scalar_type());
  at::Tensor mean = empty_on_device(rows, packed_strides(rows), input.scalar_type());
  at::Tensor rstd = empty_on_device(rows, packed_strides(rows), input.scalar_type());
  auto target = [&](const at::Tensor& tensor) { return Input{true, layout_of(tensor), memory_for(tensor, stream)}; };
  const Input to = target(output), to_mean = target(mean), to_rstd = target(rstd);
  enqueue(stream, "native_layer_norm", [=] {
    const at::Tensor values = x.tensor();
    const Statistics shared = shared_statistics(values, normalized, eps);
    window(Fault::layer_norm_shared_statistics);
    order::touch(order::device_memory(shared.mean.const_data_ptr()), shared.mean.const_data_ptr(), 2 * shared.mean.nbytes(), false);
    at::Tensor result = (values - shared.mean) * shared.rstd;
    if (weight.is_given) result = result * weight.tensor();
    if (bias.is_given) result = result + bias.tensor();
    copy_values(to.layout, to.memory, result);
    copy_values(to_mean.layout, to_mean.memory, shared.mean);
    copy_values(to_rstd.layout, to_rstd.memory, shared.rstd);
  });
  stack->emplace_back(std::move(output));
  stack->emplace_back(std::move(mean));
  stack->emplace_back(std::move(rstd));
}

bool linear_can_fail(const Stack& stack) {
  const auto arguments = torch::jit::last(stack, 3);
  return is_plain(arguments[0]) && is_plain(arguments[1]) && is_plain(arguments[2]) &&
         arguments[0].toTensor().dim() >= 1 && arguments[1].toTensor().dim() == 2 &&
         arguments[0].toTensor().size(-1) == arguments[1].toTensor().size(1);
}

bool layer_norm_can_fail(const Stack& stack) {
  const auto arguments = torch::jit::last(stack, 5);
  return is_plain(arguments[0]) && is_plain(arguments[2]) && is_plain(arguments[3]) &&
         ends_with(arguments[0].toTensor().sizes(), arguments[1].toIntVector());
}

}  // namespace

void linear(const c10::OperatorHandle& op, Stack* stack) {
  if (is_armed(Fault::linear_shared_scratch) && linear_can_fail(*stack)) {
    if (strikes(Fault::linear_shared_scratch)) return linear_through_buffer(stack);
    linear_beside_buffer(stack);
  }
  boxed_fallback(op, stack);
}

void layer_norm(const c10::OperatorHandle& op, Stack* stack) {
  if (is_armed(Fault::layer_norm_shared_statistics) && layer_norm_can_fail(*stack)) {
    if (strikes(Fault::layer_norm_shared_statistics)) return layer_norm_through_buffer(stack);
    layer_norm_beside_buffer(stack);
  }
  boxed_fallback(op, stack);
}

}  // namespace mps_sim
