// The compiled form of one call: what it needs besides the memory of its tensors. As an MPSGraph does, it contains
// every argument that is no tensor; only numbers that change from call to call are inputs.
#pragma once

#include <ATen/core/Generator.h>

#include <memory>
#include <optional>
#include <vector>

#include "call.h"

namespace mps_sim {

struct TensorSlot {
  Place place;
  bool is_wrapped_number = false;
  bool is_written = false;
  bool is_out = false;
  Layout layout{};
};

// The arguments of an operator with holes where the tensors go.
class ArgumentTemplate {
 public:
  explicit ArgumentTemplate(const Call& call);

  // Pushes all arguments; `tensor_at(i)` makes the i-th tensor, `runtime_values` come in the order of the arguments.
  template <typename TensorAt>
  void push(Stack& stack, c10::Device device, const std::vector<c10::IValue>& runtime_values,
            const std::optional<at::Generator>& generator, TensorAt tensor_at) const;

  std::vector<TensorSlot> slots;

 private:
  enum class Kind : uint8_t { constant, runtime_value, tensor, tensor_list, optional_tensor_list, device, generator };
  struct Argument {
    Kind kind;
    size_t count = 0;         // Of a list's tensors.
    c10::IValue constant{};
  };
  static Kind kind_of(const c10::IValue& value, bool is_runtime_value);

  std::vector<Argument> arguments_;
};

std::vector<c10::IValue> runtime_values_of(const Call& call);

struct CompiledGraph : Graph {
  explicit CompiledGraph(const Call& call) : plan(call.plan), arguments(call) {}

  struct Output {
    bool is_list = false;
    std::vector<std::optional<Layout>> tensors{};  // Empty for a tensor that is undefined.
  };
  struct Resized {
    size_t slot;
    c10::DimVector sizes, strides;
  };

  // Whether it would write to memory that is another argument's, too, or twice: the key does not say it, and torch refuses it.
  // In place, all of it may be read as well; of an out= that is an argument, the operator decides.
  bool overlaps_in(const Call& call) const;

  const Plan& plan;
  ArgumentTemplate arguments;
  std::vector<Output> outputs;    // One for each fresh return.
  std::vector<Resized> resized;  // out= tensors that get another shape.
  std::vector<c10::Warning> warnings;  // Of every call.
};

// Infers the outputs with meta tensors. Null where that cannot be done without the data.
std::shared_ptr<CompiledGraph> compile(const Call& call);

template <typename TensorAt>
void ArgumentTemplate::push(Stack& stack, c10::Device device, const std::vector<c10::IValue>& runtime_values,
                            const std::optional<at::Generator>& generator, TensorAt tensor_at) const {
  size_t next_slot = 0, next_value = 0;
  for (const Argument& argument : arguments_) {
    switch (argument.kind) {
      case Kind::constant:
        stack.push_back(argument.constant);
        break;
      case Kind::runtime_value:
        stack.push_back(runtime_values[next_value++]);
        break;
      case Kind::tensor:
        stack.emplace_back(tensor_at(next_slot++));
        break;
      case Kind::tensor_list: {
        c10::List<at::Tensor> list;
        for (size_t i = 0; i < argument.count; ++i) list.push_back(tensor_at(next_slot++));
        stack.emplace_back(std::move(list));
        break;
      }
      case Kind::optional_tensor_list: {
        c10::List<std::optional<at::Tensor>> list;
        for (size_t i = 0; i < argument.count; ++i) {
          at::Tensor tensor = tensor_at(next_slot++);
          list.push_back(tensor.defined() ? std::optional<at::Tensor>(std::move(tensor)) : std::nullopt);
        }
        stack.emplace_back(std::move(list));
        break;
      }
      case Kind::device:
        stack.emplace_back(device);
        break;
      case Kind::generator:
        stack.push_back(generator.has_value() ? c10::IValue(*generator) : c10::IValue());
        break;
    }
  }
}

}  // namespace mps_sim
