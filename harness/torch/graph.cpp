// What is inferred once per key and used by every call with it: outputs and resized arguments, from the meta functions.
// Where these disagree with the CPU kernel that will run (statistics of norms in half precision), the CPU's answer
// counts.
#include "graph.h"

#include <ATen/EmptyTensor.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

namespace mps_sim {

ArgumentTemplate::Kind ArgumentTemplate::kind_of(const c10::IValue& value, bool is_runtime_value) {
  if (value.isTensor()) return Kind::tensor;
  if (value.isTensorList()) return Kind::tensor_list;
  if (is_optional_tensor_list(value)) return Kind::optional_tensor_list;
  if (value.isGenerator()) return Kind::generator;
  if (value.isDevice()) return Kind::device;
  return is_runtime_value ? Kind::runtime_value : Kind::constant;
}

ArgumentTemplate::ArgumentTemplate(const Call& call) {
  std::vector<bool> is_written;  // By tensor.
  for (size_t index = 0; index < call.arguments.size(); ++index) {
    const c10::IValue& value = call.arguments[index];
    Argument argument{kind_of(value, call.plan.arguments[index].is_runtime_value)};
    // A random operator draws from the device's generator unless it is given one.
    const bool takes_generator = call.plan.op.schema().arguments()[index].name() == "generator" && call.plan.is_random;
    if (takes_generator) argument.kind = Kind::generator;
    if (argument.kind == Kind::constant) argument.constant = value;
    if (argument.kind == Kind::tensor) argument.count = 1;
    if (argument.kind == Kind::tensor_list || argument.kind == Kind::optional_tensor_list) {
      argument.count = value.toListRef().size();
    }
    is_written.insert(is_written.end(), argument.count, call.plan.arguments[index].is_written);
    arguments_.push_back(std::move(argument));
  }
  TORCH_INTERNAL_ASSERT(call.tensors.size() == is_written.size(), call.plan.name);
  for (size_t index = 0; index < call.tensors.size(); ++index) {
    const at::Tensor* tensor = call.tensors[index];
    TensorSlot slot{place_of(*tensor)};
    slot.is_written = is_written[index];
    if (slot.place != Place::undefined) {
      slot.is_wrapped_number = tensor->unsafeGetTensorImpl()->is_wrapped_number();
      slot.layout = layout_of(*tensor);
    }
    slots.push_back(std::move(slot));
  }
}

std::vector<c10::IValue> runtime_values_of(const Call& call) {
  std::vector<c10::IValue> values;
  for (size_t index = 0; index < call.arguments.size(); ++index) {
    const c10::IValue& value = call.arguments[index];
    if (call.plan.arguments[index].is_runtime_value) values.push_back(value);
  }
  return values;
}

namespace {

at::Tensor meta_tensor(const TensorSlot& slot, const at::Tensor& original) {
  // Numbers stay on the CPU: meta functions of torch's assert that they are there.
  if (slot.place == Place::undefined || slot.place == Place::cpu_number) return original;
  at::Tensor tensor = at::detail::empty_strided_meta(slot.layout.sizes, slot.layout.strides, slot.layout.dtype);
  if (slot.layout.is_conj) tensor._set_conj(true);
  if (slot.layout.is_neg) tensor._set_neg(true);
  if (slot.is_wrapped_number) tensor.unsafeGetTensorImpl()->set_wrapped_number(true);
  return tensor;
}

std::optional<Layout> output_layout(const at::Tensor& tensor) {
  if (!tensor.defined()) return std::nullopt;
  TORCH_CHECK(tensor.layout() == c10::kStrided, "simulated device: only dense tensors are supported");
  return layout_of(tensor);
}

// Of a norm in half precision. Meta functions tell what CUDA keeps; the CPU's backward, which follows, takes float32
// beside float32 parameters and its input's type otherwise.
c10::ScalarType type_of_statistics(const std::vector<TensorSlot>& slots) {
  for (const TensorSlot& slot : slots) {
    if (slot.place == Place::device && slot.layout.dtype == c10::ScalarType::Float) return c10::ScalarType::Float;
  }
  return slots[0].layout.dtype;
}

bool is_statistics(const Plan& plan, size_t result) { return plan.returns_statistics && (result == 1 || result == 2); }

void infer(CompiledGraph& graph, const Call& call) {
  at::AutoDispatchBelowADInplaceOrView no_autograd;
  c10::impl::ExcludeDispatchKeyGuard plain(c10::DispatchKeySet({c10::DispatchKey::Python,
                                                                c10::DispatchKey::PythonTLSSnapshot,
                                                                c10::DispatchKey::PythonDispatcher}) |
                                           c10::autocast_dispatch_keyset);
  std::vector<at::Tensor> tensors;
  for (size_t i = 0; i < call.tensors.size(); ++i) {
    tensors.push_back(meta_tensor(graph.arguments.slots[i], *call.tensors[i]));
  }
  Stack stack;
  graph.arguments.push(stack, c10::Device(c10::DeviceType::Meta), runtime_values_of(call), std::nullopt,
                       [&](size_t slot) { return tensors[slot]; });
  graph.plan.run(&stack);
  for (size_t i = 0; i < graph.plan.returns.size(); ++i) {
    if (graph.plan.returns[i].kind != Returns::fresh) continue;
    CompiledGraph::Output output;
    output.is_list = stack[i].isList();
    if (output.is_list) {
      for (const auto& item : stack[i].toListRef()) output.tensors.push_back(output_layout(item.toTensor()));
    } else {
      output.tensors.push_back(output_layout(stack[i].toTensor()));
      if (is_statistics(graph.plan, i) && output.tensors[0].has_value()) {
        output.tensors[0]->dtype = type_of_statistics(graph.arguments.slots);
      }
    }
    graph.outputs.push_back(std::move(output));
  }
  for (size_t i = 0; i < tensors.size(); ++i) {
    TensorSlot& slot = graph.arguments.slots[i];
    if (slot.place != Place::device || tensors[i].sizes() == c10::IntArrayRef(slot.layout.sizes)) continue;
    Layout layout = layout_of(tensors[i]);
    graph.resized.push_back({i, layout.sizes, layout.strides});
    slot.layout.sizes = layout.sizes;
    slot.layout.strides = layout.strides;
  }
}

}  // namespace

std::shared_ptr<CompiledGraph> compile(const Call& call) {
  auto graph = std::make_shared<CompiledGraph>(call);
  try {
    infer(*graph, call);
  } catch (const std::exception&) {
    // The output depends on data, there is no meta function, or the call is wrong: the CPU will say which.
    return nullptr;
  }
  return graph;
}

}  // namespace mps_sim
