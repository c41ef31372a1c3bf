// Which of a tree's functions serves a convolution. torch's own choice has a case for MPS that a libtorch for Linux was built
// without; what that case does before and after is done here: lists of one number are spread, and one dimension becomes two.
#include <ATen/ATen.h>
#include <torch/library.h>

#include <tuple>
#include <vector>

#include "torch/fallback.h"

namespace mps_sim {

namespace {

using Numbers = std::vector<int64_t>;
using Gradients = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

// Whether the tree serves its part: it may not compile.
bool is_served() {
  static const bool is = c10::Dispatcher::singleton().findSchemaOrThrow("aten::_mps_convolution", "").hasKernelForDispatchKey(c10::DispatchKey::MPS);
  return is;
}

// torch's CPU kernel on the tree's stream.
template <typename... Arguments>
Stack fallen_back(const char* name, const Arguments&... arguments) {
  const auto op = c10::Dispatcher::singleton().findSchemaOrThrow(name, "");
  Stack stack;
  torch::jit::push(stack, arguments...);
  boxed_fallback(op, &stack);
  return stack;
}

struct Parameters {
  Numbers stride, padding, dilation, output_padding;
  bool is_transposed, has_one_dimension;

  Parameters(const at::Tensor& weight, c10::IntArrayRef stride_, c10::IntArrayRef padding_, c10::IntArrayRef dilation_, bool transposed,
             c10::IntArrayRef output_padding_)
      : is_transposed(transposed), has_one_dimension(weight.dim() == 3) {
    const auto count = static_cast<size_t>(weight.dim() - 2);
    stride = spread(stride_, count, 1);
    padding = spread(padding_, count, 0);
    dilation = spread(dilation_, count, 1);
    output_padding = spread(output_padding_, count, 0);
  }

  at::Tensor in_two(const at::Tensor& tensor) const { return has_one_dimension && tensor.defined() ? tensor.unsqueeze(2) : tensor; }
  at::Tensor as_given(const at::Tensor& tensor) const { return has_one_dimension && tensor.defined() ? tensor.squeeze(2) : tensor; }

 private:
  Numbers spread(c10::IntArrayRef given, size_t count, int64_t of_one) const {
    Numbers numbers = given.size() == 1 ? Numbers(count, given[0]) : given.vec();
    TORCH_CHECK(numbers.size() == count, "expected ", count, " numbers for a convolution's dimensions, but got ", numbers.size());
    if (has_one_dimension) numbers.insert(numbers.begin(), of_one);
    return numbers;
  }
};

at::Tensor convolution(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias, c10::IntArrayRef stride,
                       c10::IntArrayRef padding, c10::IntArrayRef dilation, bool transposed, c10::IntArrayRef output_padding, int64_t groups) {
  if (!is_served()) {
    return fallen_back("aten::convolution", input, weight, bias, stride, padding, dilation, transposed, output_padding, groups)[0].toTensor();
  }
  TORCH_CHECK(weight.dim() >= 3 && input.dim() == weight.dim(), "Expected ", weight.dim(), "D input for a ", weight.dim(), "D weight, but got ",
              input.dim(), "D");
  const int64_t channels = transposed ? weight.size(0) : weight.size(1) * groups;
  TORCH_CHECK(input.size(1) == channels, "Given groups=", groups, ", weight of size ", weight.sizes(), ", expected input", input.sizes(),
              " to have ", channels, " channels, but got ", input.size(1), " channels instead");
  const Parameters of(weight, stride, padding, dilation, transposed, output_padding);
  const at::Tensor from = of.in_two(input), weights = of.in_two(weight).contiguous();
  if (!transposed) return of.as_given(at::_mps_convolution(from, weights, bias, of.padding, of.stride, of.dilation, groups));
  at::Tensor result = at::_mps_convolution_transpose(from, weights, of.padding, of.output_padding, of.stride, of.dilation, groups);
  if (bias.has_value() && bias->defined()) {
    Numbers line(static_cast<size_t>(result.dim()), 1);
    line[1] = bias->numel();
    result.add_(bias->reshape(line));
  }
  return of.as_given(result);
}

Gradients convolution_backward(const at::Tensor& gradient, const at::Tensor& input, const at::Tensor& weight, at::OptionalIntArrayRef bias_sizes,
                               c10::IntArrayRef stride, c10::IntArrayRef padding, c10::IntArrayRef dilation, bool transposed,
                               c10::IntArrayRef output_padding, int64_t groups, std::array<bool, 3> wanted) {
  if (!is_served()) {
    const std::optional<Numbers> sizes = bias_sizes.has_value() ? std::optional(bias_sizes->vec()) : std::nullopt;
    const Stack made = fallen_back("aten::convolution_backward", gradient, input, weight, sizes, stride, padding, dilation, transposed,
                                   output_padding, groups, c10::List<bool>({wanted[0], wanted[1], wanted[2]}));
    return {made[0].toTensor(), made[1].toTensor(), made[2].toTensor()};
  }
  const Parameters of(weight, stride, padding, dilation, transposed, output_padding);
  const at::Tensor from = of.in_two(gradient.contiguous(input.suggest_memory_format())), source = of.in_two(input);
  const at::Tensor weights = of.in_two(weight);
  at::Tensor input_gradient, weight_gradient, bias_gradient;
  if (transposed) {
    std::tie(input_gradient, weight_gradient) = at::mps_convolution_transpose_backward(
        source, from, weights, of.padding, of.output_padding, of.stride, of.dilation, groups, {wanted[0], wanted[1]});
  } else {
    std::tie(input_gradient, weight_gradient, bias_gradient) =
        at::mps_convolution_backward(source, from, weights, of.padding, of.stride, of.dilation, groups, wanted);
  }
  if (wanted[2] && !bias_gradient.defined()) {
    Numbers others;
    for (int64_t one = 0; one < gradient.dim(); ++one) {
      if (one != 1) others.push_back(one);
    }
    bias_gradient = gradient.sum(others);
  }
  return {of.as_given(input_gradient), of.as_given(weight_gradient), bias_gradient};
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, MPS, library) {
  library.impl("convolution", TORCH_FN(convolution));
  library.impl("convolution_backward", TORCH_FN(convolution_backward));
}

}  // namespace mps_sim
