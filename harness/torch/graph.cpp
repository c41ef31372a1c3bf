// What is inferred once per key and used by every call with it: outputs and resized arguments, from the meta functions.
// Where these disagree with the CPU kernel that will run (statistics of norms in half precision), the CPU's answer
// counts.
#include "graph.h"

#include <ATen/EmptyTensor.h>
#include <ATen/MemoryOverlap.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/as_strided.h>
#include <ATen/ops/full.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include "generator.h"
#include "launch.h"
#include "substitutes.h"
#include "warnings.h"

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
  std::vector<bool> is_written, is_out;  // By tensor.
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
    is_out.insert(is_out.end(), argument.count, call.plan.arguments[index].is_out);
    arguments_.push_back(std::move(argument));
  }
  TORCH_INTERNAL_ASSERT(call.tensors.size() == is_written.size(), call.plan.name);
  for (size_t index = 0; index < call.tensors.size(); ++index) {
    const at::Tensor* tensor = call.tensors[index];
    TensorSlot slot{place_of(*tensor)};
    slot.is_written = is_written[index];
    slot.is_out = is_out[index];
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

// No autograd, no modes of Python's, no autocast: the operator as it is.
struct Plain {
  at::AutoDispatchBelowADInplaceOrView no_autograd;
  c10::impl::ExcludeDispatchKeyGuard no_modes{c10::DispatchKeySet({c10::DispatchKey::Python,
                                                                   c10::DispatchKey::PythonTLSSnapshot,
                                                                   c10::DispatchKey::PythonDispatcher}) |
                                              c10::autocast_dispatch_keyset};
};

void infer(CompiledGraph& graph, const Call& call) {
  const Plain plain;
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

// A real backend refuses wrong arguments at the call. Meta functions do not know all that a kernel refuses (a dtype that it
// has not, say), and the kernel runs later, perhaps while another thread waits for the stream. So each new graph runs once
// on the CPU first, over numbers of its own: zeros, or ones, because an operator may refuse the numbers themselves. What
// refuses both is left to the synchronous way, which raises. Larger calls are not tried: they would be computed twice.
constexpr size_t kTrialBytesMax = size_t{4} << 20;

int64_t elements_of(const Layout& layout) {
  int64_t last = 0;
  for (size_t i = 0; i < layout.sizes.size(); ++i) {
    if (layout.sizes[i] == 0) return 0;
    last += (layout.sizes[i] - 1) * layout.strides[i];
  }
  return last + 1;
}

size_t bytes_of(const CompiledGraph& graph) {
  size_t bytes = 0;
  const auto add = [&](const Layout& layout) { bytes += static_cast<size_t>(elements_of(layout)) * c10::elementSize(layout.dtype); };
  for (const TensorSlot& slot : graph.arguments.slots) {
    if (slot.place == Place::device) add(slot.layout);
  }
  for (const auto& output : graph.outputs) {
    for (const auto& layout : output.tensors) {
      if (layout.has_value()) add(*layout);
    }
  }
  return bytes;
}

at::Tensor trial_tensor(const TensorSlot& slot, const at::Tensor& original, int number) {
  if (slot.place == Place::undefined) return original;
  if (slot.place != Place::device) return private_copy(original);
  at::Tensor tensor = at::full({elements_of(slot.layout)}, number, c10::TensorOptions(slot.layout.dtype))
                          .as_strided(slot.layout.sizes, slot.layout.strides);
  if (slot.layout.is_conj) tensor._set_conj(true);
  if (slot.layout.is_neg) tensor._set_neg(true);
  if (slot.is_wrapped_number) tensor.unsafeGetTensorImpl()->set_wrapped_number(true);
  return tensor;
}

bool runs_with(const CompiledGraph& graph, const Call& call, int number, std::vector<c10::Warning>& warnings) {
  const KeptWarnings kept;
  const OneIntraOpThread one_thread;
  const Plain plain;
  std::optional<at::Generator> generator;
  if (graph.plan.is_random) generator = cpu_generator(0);
  kernel_generator() = generator;
  try {
    Stack stack;
    graph.arguments.push(stack, c10::Device(c10::DeviceType::CPU), runtime_values_of(call), generator, [&](size_t slot) {
      return trial_tensor(graph.arguments.slots[slot], *call.tensors[slot], number);
    });
    graph.plan.run(&stack);
  } catch (const std::exception&) {
    return false;
  }
  warnings = kept.all();
  return true;
}

// Whether it refuses both numbers. What a kernel warns of is kept for each call; or, where it does not come a second time,
// is warned of now: torch's own count of what it warns of once has been used up by the trial.
bool is_refused(CompiledGraph& graph, const Call& call) {
  if (bytes_of(graph) > kTrialBytesMax) return false;
  std::vector<c10::Warning> first;
  int number = 0;
  if (!runs_with(graph, call, 0, first) && !runs_with(graph, call, ++number, first)) return true;
  if (first.empty() || !runs_with(graph, call, number, graph.warnings)) return false;
  for (const c10::Warning& one : first) {
    if (!holds(graph.warnings, one)) c10::warn(one);
  }
  return false;
}

}  // namespace

bool CompiledGraph::overlaps_in(const Call& call) const {
  for (size_t i = 0; i < arguments.slots.size(); ++i) {
    if (!arguments.slots[i].is_written || arguments.slots[i].place != Place::device) continue;
    if (at::has_internal_overlap(*call.tensors[i]) == at::MemOverlap::Yes) return true;
    for (size_t k = 0; k < arguments.slots.size(); ++k) {
      if (k == i || arguments.slots[k].place != Place::device) continue;
      const at::MemOverlapStatus status = at::get_overlap_status(*call.tensors[i], *call.tensors[k]);
      if (status == at::MemOverlapStatus::Partial) return true;
      if (status == at::MemOverlapStatus::Full && arguments.slots[i].is_out) return true;
    }
  }
  return false;
}

std::shared_ptr<CompiledGraph> compile(const Call& call) {
  auto graph = std::make_shared<CompiledGraph>(call);
  try {
    {
      const KeptWarnings of_meta_functions;  // The kernel has the same ones.
      infer(*graph, call);
    }
    if (is_refused(*graph, call)) return nullptr;
  } catch (const std::exception&) {
    // The output depends on data, there is no meta function, or the call is wrong: the CPU will say which.
    return nullptr;
  }
  return graph;
}

}  // namespace mps_sim
