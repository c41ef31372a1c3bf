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

  at::Tensor tensor() const { return is_given ? alias(layout, memory) : at::Tensor(); }
};

Input input_of(const c10::IValue& value, StreamId stream) {
  if (!value.isTensor() || !value.toTensor().defined()) return {};
  return {true, layout_of(value.toTensor()), memory_for(value.toTensor(), stream)};
}

c10::DimVector contiguous_strides(c10::IntArrayRef sizes) {
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

void linear_through_buffer(Stack* stack) {
  const StreamId stream = current_stream();
  auto arguments = torch::jit::pop(*stack, 3);
  const at::Tensor& input = arguments[0].toTensor();
  const at::Tensor& weight = arguments[1].toTensor();
  const Input x = input_of(arguments[0], stream), w = input_of(arguments[1], stream),
              bias = input_of(arguments[2], stream);
  c10::DimVector sizes(input.sizes().begin(), input.sizes().end());
  sizes.back() = weight.size(0);
  at::Tensor output = empty_on_device(sizes, contiguous_strides(sizes), input.scalar_type());
  void* buffer = shared_scratch(Fault::linear_shared_scratch, kBufferBytesMax);
  enqueue(stream, "linear", [=, layout = layout_of(output), memory = memory_for(output, stream)] {
    const at::Tensor contiguous = x.tensor().contiguous();
    std::memcpy(buffer, contiguous.const_data_ptr(), contiguous.nbytes());
    window(Fault::linear_shared_scratch);
    const at::Tensor packed = alias(layout_of(contiguous), {buffer, contiguous.nbytes(), 0});
    copy_values(layout, memory, at::linear(packed, w.tensor(), bias.tensor()));
  });
  stack->emplace_back(std::move(output));
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
  at::Tensor output = empty_on_device(sizes, contiguous_strides(sizes), input.scalar_type());
  at::Tensor mean = empty_on_device(rows, contiguous_strides(rows), input.scalar_type());
  at::Tensor rstd = empty_on_device(rows, contiguous_strides(rows), input.scalar_type());
  auto* buffer = static_cast<char*>(shared_scratch(Fault::layer_norm_shared_statistics, kBufferBytesMax));
  auto target = [&](const at::Tensor& tensor) { return Input{true, layout_of(tensor), memory_for(tensor, stream)}; };
  const Input to = target(output), to_mean = target(mean), to_rstd = target(rstd);
  enqueue(stream, "native_layer_norm", [=] {
    const at::Tensor values = x.tensor();
    auto [ignored, own_mean, own_rstd] = at::native_layer_norm(values, normalized, {}, {}, eps);
    const size_t bytes = own_mean.nbytes();
    std::memcpy(buffer, own_mean.const_data_ptr(), bytes);
    std::memcpy(buffer + bytes, own_rstd.const_data_ptr(), bytes);
    window(Fault::layer_norm_shared_statistics);
    const Layout statistics = layout_of(own_mean);
    const at::Tensor shared_mean = alias(statistics, {buffer, bytes, 0});
    const at::Tensor shared_rstd = alias(statistics, {buffer + bytes, bytes, 0});
    at::Tensor result = (values - shared_mean) * shared_rstd;
    if (weight.is_given) result = result * weight.tensor();
    if (bias.is_given) result = result + bias.tensor();
    copy_values(to.layout, to.memory, result);
    copy_values(to_mean.layout, to_mean.memory, shared_mean);
    copy_values(to_rstd.layout, to_rstd.memory, shared_rstd);
  });
  for (at::Tensor& result : std::array<at::Tensor, 3>{output, mean, rstd}) stack->emplace_back(std::move(result));
}

}  // namespace

void linear(const c10::OperatorHandle& op, Stack* stack) {
  auto arguments = torch::jit::last(*stack, 3);
  const bool can_fail = is_plain(arguments[0]) && is_plain(arguments[1]) && is_plain(arguments[2]) &&
                        arguments[0].toTensor().dim() >= 1 && arguments[1].toTensor().dim() == 2 &&
                        arguments[0].toTensor().size(-1) == arguments[1].toTensor().size(1);
  if (can_fail && strikes(Fault::linear_shared_scratch)) {
    linear_through_buffer(stack);
  } else {
    boxed_fallback(op, stack);
  }
}

void layer_norm(const c10::OperatorHandle& op, Stack* stack) {
  auto arguments = torch::jit::last(*stack, 5);
  const bool can_fail = is_plain(arguments[0]) && is_plain(arguments[2]) && is_plain(arguments[3]) &&
                        ends_with(arguments[0].toTensor().sizes(), arguments[1].toIntVector());
  if (can_fail && strikes(Fault::layer_norm_shared_statistics)) {
    layer_norm_through_buffer(stack);
  } else {
    boxed_fallback(op, stack);
  }
}

}  // namespace mps_sim
