// Makes the key of a call's compiled graph from its arguments, by their bytes. Constants are a part of their own, so that
// the fault graph_cache_wrong_key can leave them out; numbers that change from call to call are left out on purpose. A
// call with an argument that has no place in a key runs synchronously.
#include "call.h"

#include <ATen/core/jit_type.h>
#include <c10/core/DefaultDtype.h>

namespace mps_sim {

namespace {

template <typename Value>
void append(std::string& text, const Value& value) {
  text.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append(std::string& text, c10::IntArrayRef values) {
  text.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(int64_t));
}

}  // namespace

Place place_of(const at::Tensor& tensor) {
  if (!tensor.defined()) return Place::undefined;
  if (is_on_device(tensor)) return Place::device;
  TORCH_CHECK(tensor.device().is_cpu(),
              "Expected all tensors to be on the same device, but found at least two devices, ", the_device(), " and ",
              tensor.device(), "!");
  return tensor.dim() == 0 ? Place::cpu_number : Place::cpu;
}

bool is_optional_tensor_list(const c10::IValue& value) {
  if (!value.isList()) return false;
  const auto optional = value.toList().elementType()->cast<c10::OptionalType>();
  return optional != nullptr && optional->getElementType()->kind() == c10::TypeKind::TensorType;
}

Call::Call(const Plan& call_plan, const Stack& stack)
    : plan(call_plan), arguments(c10::ArrayRef<c10::IValue>(stack).slice(stack.size() - call_plan.arguments.size())) {
  key.shapes.reserve(32 + 96 * arguments.size());
  append(key.shapes, &plan);
  append(key.shapes, c10::get_default_dtype_as_scalartype());
  for (size_t index = 0; index < arguments.size(); ++index) {
    if (plan.arguments[index].is_mode && arguments[index].isBool()) {
      key.mode.push_back(arguments[index].toBool() ? 't' : 'e');
    } else {
      add(arguments[index], plan.arguments[index].is_runtime_value);
    }
  }
}

void Call::add(const c10::IValue& value, bool is_runtime_value) {
  if (value.isTensor()) {
    add_tensor(value.toTensor());
    return;
  }
  if (value.isList()) {
    add_list(value, is_runtime_value);
    return;
  }
  std::string& text = is_runtime_value ? key.shapes : key.constants;
  auto put = [&](char tag, const auto& number) {
    text.push_back(tag);
    if (!is_runtime_value) append(text, number);
  };
  if (value.isNone()) {
    key.shapes.push_back('n');  // Which of two optional tensors is given decides what the other arguments mean.
  } else if (value.isBool()) {
    put('b', value.toBool());
  } else if (value.isInt()) {
    put('i', value.toInt());
  } else if (value.isDouble()) {
    put('d', value.toDouble());
  } else if (value.isComplexDouble()) {
    put('c', value.toComplexDouble());
  } else if (value.isDevice()) {
    put('v', value.toDevice());
  } else if (value.isString()) {
    append(text, value.toStringRef().size());
    text.append(value.toStringRef());
  } else if (value.isGenerator()) {
    text.push_back('g');
  } else {
    has_key = false;
  }
}

void Call::add_list(const c10::IValue& value, bool is_runtime_value) {
  auto values = value.toListRef();
  key.shapes.push_back('[');
  append(key.shapes, static_cast<uint32_t>(values.size()));
  static const at::Tensor undefined;
  for (const auto& item : values) {
    if (item.isNone() && is_optional_tensor_list(value)) {
      add_tensor(undefined);
    } else {
      add(item, is_runtime_value);
    }
  }
}

void Call::add_tensor(const at::Tensor& tensor) {
  Place place = place_of(tensor);
  TORCH_CHECK(place != Place::cpu || plan.takes_cpu_tensors,
              "Expected all tensors to be on the same device, but found at least two devices, ", the_device(),
              " and cpu! (", plan.name, ")");
  tensors.push_back(&tensor);
  std::string& text = key.shapes;
  text.push_back(static_cast<char>('0' + static_cast<int>(place)));
  if (place == Place::undefined) return;
  text.push_back(static_cast<char>(tensor.scalar_type()));
  text.push_back(static_cast<char>(tensor.is_conj() + 2 * tensor.is_neg() +
                                   4 * tensor.unsafeGetTensorImpl()->is_wrapped_number()));
  if (place == Place::cpu_number) return;
  text.push_back(static_cast<char>(tensor.dim()));
  append(text, tensor.sizes());
  append(text, tensor.strides());
}

}  // namespace mps_sim
