// Runs an operator by torch's CPU kernel on the stream's thread, over tensors that alias device memory. Asynchronous
// where the meta function can say the outputs' shapes before it has run; elsewhere the caller waits for the stream. A
// kernel never holds a tensor of the caller: it may own a Python object, which a stream's thread must not release.
#include "fallback.h"

#include <c10/util/SmallVector.h>

#include <atomic>
#include <exception>

#include "generator.h"
#include "graph.h"
#include "launch.h"
#include "substitutes.h"
#include "warnings.h"

namespace mps_sim {

namespace {

std::atomic<int64_t> asynchronous_calls{0}, synchronous_calls{0}, view_calls{0};

struct Binding {  // Of a tensor slot in one launch.
  MemoryRange memory{};
  at::Tensor cpu{};
};

struct Launch {
  const Plan* plan = nullptr;
  std::shared_ptr<const CompiledGraph> graph;  // Null for a synchronous run.
  c10::SmallVector<Binding, 6> inputs;
  c10::SmallVector<MemoryRange, 2> outputs;  // Of the defined fresh outputs, lists flattened.
  std::vector<c10::IValue> runtime_values;
  uint32_t random_seed = 0;
  double* shared_scalar = nullptr;  // The fault scalar_buffer_reused: where the number is read from.
};

bool is_number(const TensorSlot& slot) {
  return slot.place == Place::cpu_number && !c10::isComplexType(slot.layout.dtype);
}

// The fault: the scalar operand of every such operation is put into one buffer, from which this kernel may read it.
void share_scalar(Launch& launch, const Call& call, const std::vector<TensorSlot>& slots) {
  for (size_t i = 0; i < slots.size(); ++i) {
    if (!is_number(slots[i])) continue;
    auto* buffer = static_cast<double*>(shared_scratch(Fault::scalar_buffer_reused, sizeof(double)));
    announce_bytes(buffer, sizeof *buffer, true);
    order::touch(order::device_memory(buffer), buffer, sizeof *buffer, true);
    __atomic_store_n(reinterpret_cast<int64_t*>(buffer), c10::bit_cast<int64_t>(call.tensors[i]->item().toDouble()),
                     __ATOMIC_RELAXED);
    if (strikes(Fault::scalar_buffer_reused)) {
      window(Fault::scalar_buffer_reused);
      launch.shared_scalar = buffer;
    }
    return;
  }
}

std::optional<at::Generator> generator_of(const Call& call) {
  for (const c10::IValue& value : call.arguments) {
    if (value.isGenerator()) return value.toGenerator();
  }
  return std::nullopt;
}

void bind_inputs(Launch& launch, const Call& call, const std::vector<TensorSlot>& slots, StreamId stream) {
  for (size_t i = 0; i < slots.size(); ++i) {
    Binding binding;
    if (slots[i].place == Place::device) {
      binding.memory = memory_for(*call.tensors[i], stream);
    } else if (slots[i].place != Place::undefined) {
      binding.cpu = private_copy(*call.tensors[i]);
    }
    launch.inputs.push_back(std::move(binding));
  }
  launch.runtime_values = runtime_values_of(call);
  if (call.plan.has_scalar_operand && is_armed(Fault::scalar_buffer_reused)) share_scalar(launch, call, slots);
}

// Makes the CPU tensors of one launch.
class CpuInputs {
 public:
  CpuInputs(const Launch& launch, const ArgumentTemplate& arguments) : launch_(launch), arguments_(arguments) {}

  at::Tensor at(size_t index) {
    const TensorSlot& slot = arguments_.slots[index];
    const Binding& binding = launch_.inputs[index];
    if (slot.place != Place::device) {
      if (launch_.shared_scalar != nullptr && is_number(slot)) {
        announce_bytes(launch_.shared_scalar, sizeof *launch_.shared_scalar, false);
        order::touch(order::device_memory(launch_.shared_scalar), launch_.shared_scalar, sizeof *launch_.shared_scalar, false);
        int64_t bits = __atomic_load_n(reinterpret_cast<int64_t*>(launch_.shared_scalar), __ATOMIC_RELAXED);
        binding.cpu.fill_(c10::bit_cast<double>(bits));
      }
      return binding.cpu;
    }
    (slot.is_written ? announce_write : announce_read)(slot.layout, binding.memory);
    at::Tensor tensor = alias(slot.layout, binding.memory, storage(binding.memory));
    if (slot.is_wrapped_number) tensor.unsafeGetTensorImpl()->set_wrapped_number(true);
    return tensor;
  }

  // Whether an earlier input has the same storage.
  bool is_shared(const at::Tensor& tensor) const { return tensor.storage().use_count() > 2; }

 private:
  c10::Storage storage(const MemoryRange& memory) {
    for (const c10::Storage& made : storages_) {
      if (made.data() == memory.base) return made;
    }
    return storages_.emplace_back(cpu_storage(memory));
  }

  const Launch& launch_;
  const ArgumentTemplate& arguments_;
  c10::SmallVector<c10::Storage, 6> storages_;
};

template <typename TensorAt>
void run_on_cpu(const Launch& launch, const ArgumentTemplate& arguments, Stack& stack, TensorAt tensor_at) {
  std::optional<at::Generator> generator;
  if (launch.plan->is_random) generator = cpu_generator(launch.random_seed);
  arguments.push(stack, c10::Device(c10::DeviceType::CPU), launch.runtime_values, generator, tensor_at);
  kernel_generator() = generator;
  const Announced announced;  // Also what torch's own caches hand from kernel to kernel, ordered by what nobody sees.
  launch.plan->run(&stack);
}

void store(const at::Tensor& result, const Layout& layout, const MemoryRange& memory, const Plan& plan) {
  // Meta functions and CPU kernels disagree on outputs that nobody uses: some are left out or empty.
  if (!result.defined() || result.numel() == 0) return;
  if (result.sizes() != c10::IntArrayRef(layout.sizes)) {
    if (c10::multiply_integers(layout.sizes) == 0) return;
    throw DeviceError("simulated device: " + plan.name + " gave another shape than was inferred for it");
  }
  copy_values(layout, memory, result);
}

void run_kernel(const Launch& launch) {
  Stack stack;
  const ArgumentTemplate& arguments = launch.graph->arguments;
  const KnownWarnings known(launch.graph->warnings);
  CpuInputs inputs(launch, arguments);
  run_on_cpu(launch, arguments, stack, [&](size_t slot) { return inputs.at(slot); });
  const Plan& plan = *launch.plan;
  size_t next_output = 0, next_memory = 0;
  for (size_t i = 0; i < plan.returns.size(); ++i) {
    if (plan.returns[i].kind != Returns::fresh) continue;
    const auto& output = launch.graph->outputs[next_output++];
    for (size_t k = 0; k < output.tensors.size(); ++k) {
      if (!output.tensors[k].has_value()) continue;
      const at::Tensor result = output.is_list ? stack[i].toListRef()[k].toTensor() : stack[i].toTensor();
      store(result, *output.tensors[k], launch.outputs[next_memory++], plan);
    }
  }
}

std::shared_ptr<const Accesses> accesses_of(const Launch& launch, const std::vector<TensorSlot>& slots) {
  auto accesses = std::make_shared<Accesses>();
  const auto range = [](const MemoryRange& memory) {
    const auto* begin = static_cast<const char*>(memory.base);
    return Accesses::Range{begin, begin + memory.bytes};
  };
  for (size_t i = 0; i < slots.size(); ++i) {
    if (slots[i].place != Place::device) continue;
    accesses->reads.push_back(range(launch.inputs[i].memory));
    if (!slots[i].is_written) continue;
    accesses->writes.push_back(range(launch.inputs[i].memory));
    accesses->overwrites = true;
  }
  for (const MemoryRange& output : launch.outputs) accesses->writes.push_back(range(output));
  return accesses;
}

c10::IValue empty_output(const CompiledGraph::Output& output, Launch& launch, StreamId stream) {
  std::vector<at::Tensor> tensors;
  for (const auto& layout : output.tensors) {
    at::Tensor tensor;
    if (layout.has_value()) {
      tensor = empty_on_device(layout->sizes, layout->strides, layout->dtype);
      launch.outputs.push_back(memory_for(tensor, stream));
    }
    tensors.push_back(std::move(tensor));
  }
  return output.is_list ? c10::IValue(std::move(tensors)) : c10::IValue(std::move(tensors[0]));
}

void finish_call(const Plan& plan, Stack* stack, std::vector<c10::IValue> results) {
  torch::jit::drop(*stack, plan.arguments.size());
  for (auto& result : results) stack->push_back(std::move(result));
}

void run_asynchronously(const Call& call, std::shared_ptr<const CompiledGraph> graph, Stack* stack) {
  asynchronous_calls.fetch_add(1, std::memory_order_relaxed);
  const Plan& plan = call.plan;
  const StreamId stream = current_stream();
  for (const auto& resized : graph->resized) {
    const at::Tensor& tensor = *call.tensors[resized.slot];
    resize_on_device(tensor, resized.sizes);
    tensor.unsafeGetTensorImpl()->set_sizes_and_strides(resized.sizes, resized.strides);
  }
  auto launch = std::make_shared<Launch>();
  launch->plan = &plan;
  std::optional<SeedDraw> draw;
  if (plan.is_random) launch->random_seed = draw.emplace(generator_of(call)).seed;
  bind_inputs(*launch, call, graph->arguments.slots, stream);
  std::vector<c10::IValue> results;
  results.reserve(plan.returns.size());
  size_t next_output = 0;
  for (const ReturnPlan& returned : plan.returns) {
    if (returned.kind == Returns::written_argument) {
      results.push_back(call.arguments[returned.argument]);
    } else {
      results.push_back(empty_output(graph->outputs[next_output++], *launch, stream));
    }
  }
  if (is_armed(Fault::dispatch_write_after_read)) note_accesses(accesses_of(*launch, graph->arguments.slots));
  warn_again(graph->warnings);
  launch->graph = std::move(graph);
  enqueue(stream, plan.name.c_str(), [launch = std::move(launch)] { run_kernel(*launch); });
  finish_call(plan, stack, std::move(results));
}

struct SynchronousRun {
  explicit SynchronousRun(const Call& call) : arguments(call) {}
  ArgumentTemplate arguments;
  Launch launch;
  Stack results;
  std::vector<at::Tensor> outs;  // By slot: what out= tensors became.
  std::vector<c10::Warning> warnings;
  std::exception_ptr error;
  bool has_run = false;
};

at::Tensor to_device(const at::Tensor& result, StreamId stream) {
  if (!result.defined()) return result;
  TORCH_CHECK_NOT_IMPLEMENTED(result.layout() == c10::kStrided,
                              "simulated device: only dense tensors are supported, not ", result.layout());
  Layout layout = layout_of(result);
  layout.is_conj = layout.is_neg = false;
  at::Tensor tensor = empty_on_device(layout.sizes, layout.strides, layout.dtype);
  MemoryRange memory = memory_for(tensor, stream);
  enqueue(stream, "copy_from_cpu", [layout, memory, result] { copy_values(layout, memory, result); });
  return tensor;
}

c10::IValue to_device(const c10::IValue& result, StreamId stream) {
  if (result.isTensor()) return to_device(result.toTensor(), stream);
  if (!result.isTensorList()) return result;
  std::vector<at::Tensor> tensors;
  for (const auto& item : result.toListRef()) tensors.push_back(to_device(item.toTensor(), stream));
  return tensors;
}

std::vector<bool> out_slots_of(const Call& call) {
  std::vector<bool> is_out;
  for (size_t i = 0; i < call.arguments.size(); ++i) {
    const c10::IValue& value = call.arguments[i];
    size_t count = value.isTensor() ? 1 : 0;
    if (value.isTensorList() || is_optional_tensor_list(value)) count = value.toListRef().size();
    is_out.insert(is_out.end(), count, call.plan.arguments[i].is_out);
  }
  return is_out;
}

// The stream's thread runs the operator too, so that all device memory is touched in the stream's order.
void run_synchronously(const Call& call, Stack* stack) {
  synchronous_calls.fetch_add(1, std::memory_order_relaxed);
  const Plan& plan = call.plan;
  const StreamId stream = current_stream();
  auto run = std::make_shared<SynchronousRun>(call);
  run->launch.plan = &plan;
  std::optional<SeedDraw> draw;
  if (plan.is_random) run->launch.random_seed = draw.emplace(generator_of(call)).seed;
  bind_inputs(run->launch, call, run->arguments.slots, stream);
  const std::vector<bool> is_out = out_slots_of(call);
  run->outs.resize(is_out.size());
  enqueue(stream, plan.name.c_str(), [run, is_out] {
    const KeptWarnings kept;
    try {
      CpuInputs inputs(run->launch, run->arguments);
      run_on_cpu(run->launch, run->arguments, run->results, [&](size_t slot) {
        at::Tensor tensor = inputs.at(slot);
        // Its own memory, which can be resized. Not where it overlaps with itself or an input: torch has to see that.
        const bool is_own = tensor.defined() && tensor.is_non_overlapping_and_dense() && !inputs.is_shared(tensor);
        if (is_out[slot] && is_own) {
          tensor = run->outs[slot] = tensor.clone();
        }
        return tensor;
      });
    } catch (...) {
      run->error = std::current_exception();
    }
    run->warnings = kept.all();
    run->has_run = true;
  });
  if (plan.falls_back_to_cpu && strikes(Fault::fallback_waits_outside_queue)) {
    commit_unqueued(stream, Fault::fallback_waits_outside_queue);
  }
  wait_for(stream);
  TORCH_CHECK(run->has_run, "simulated device: the process is ending");
  warn_again(run->warnings);
  if (run->error) std::rethrow_exception(run->error);
  for (size_t slot = 0; slot < is_out.size(); ++slot) {
    if (!run->outs[slot].defined()) continue;
    const at::Tensor& out = *call.tensors[slot];
    if (out.sizes() != run->outs[slot].sizes()) resize_on_device(out, run->outs[slot].sizes());
    const Layout layout = layout_of(out);
    const MemoryRange memory = memory_for(out, stream);
    const at::Tensor result = run->outs[slot];
    enqueue(stream, "copy_from_cpu", [layout, memory, result] { copy_values(layout, memory, result); });
  }
  std::vector<c10::IValue> results;
  for (size_t i = 0; i < plan.returns.size(); ++i) {
    const ReturnPlan& returned = plan.returns[i];
    results.push_back(returned.kind == Returns::written_argument ? call.arguments[returned.argument]
                                                                 : to_device(run->results[i], stream));
  }
  finish_call(plan, stack, std::move(results));
}

at::Tensor view_of(const at::Tensor& source, const at::Tensor& shape) {
  auto view = at::detail::make_tensor<c10::TensorImpl>(c10::TensorImpl::VIEW, c10::Storage(source.storage()),
                                                       source.key_set(), shape.dtype());
  view.unsafeGetTensorImpl()->set_sizes_and_strides(shape.sizes(), shape.strides(), shape.storage_offset());
  return view;
}

// Views touch no memory: the CPU's function says what they look like.
void run_view(const Call& call, Stack* stack) {
  view_calls.fetch_add(1, std::memory_order_relaxed);
  at::AutoDispatchBelowADInplaceOrView no_autograd;
  const Plan& plan = call.plan;
  ArgumentTemplate arguments(call);
  Stack shapes;
  arguments.push(shapes, c10::Device(c10::DeviceType::CPU), runtime_values_of(call), std::nullopt, [&](size_t slot) {
    const TensorSlot& described = arguments.slots[slot];
    return described.place == Place::device ? alias(described.layout, memory_of(*call.tensors[slot]))
                                            : *call.tensors[slot];
  });
  plan.run(&shapes);
  std::vector<c10::IValue> results;
  for (size_t i = 0; i < plan.returns.size(); ++i) {
    const at::Tensor& source = call.arguments[plan.returns[i].argument].toTensor();
    if (!shapes[i].isTensorList()) {
      results.emplace_back(view_of(source, shapes[i].toTensor()));
      continue;
    }
    std::vector<at::Tensor> views;
    for (const auto& item : shapes[i].toListRef()) views.push_back(view_of(source, item.toTensor()));
    results.emplace_back(std::move(views));
  }
  finish_call(plan, stack, std::move(results));
}

}  // namespace

void boxed_fallback(const c10::OperatorHandle& op, Stack* stack) {
  translated([] { check_not_forked(); });
  const Call call(plan_for(op), *stack);
  MPS_SIM_CALL_FRAME(call.plan.name.c_str());
  if (call.plan.is_view) {
    run_view(call, stack);
    return;
  }
  if (call.has_key && !call.plan.is_always_synchronous) {
    auto found = translated([&] { return find_graph(call.key, [&] { return compile(call); }); });
    auto graph = std::static_pointer_cast<const CompiledGraph>(found);
    if (graph != nullptr && !graph->overlaps_in(call)) {
      run_asynchronously(call, std::move(graph), stack);
      return;
    }
  }
  run_synchronously(call, stack);
}

CallCounts call_counts() { return {asynchronous_calls, synchronous_calls, view_calls}; }

}  // namespace mps_sim
