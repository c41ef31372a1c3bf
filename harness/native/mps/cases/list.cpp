// The cases that only PyTorch's own interfaces allow.
#include "native/mps/cases/list.h"

namespace harness {

namespace {

constexpr const char* kAnyDesign = "upstream";

Case pytorch_case(const char* name, const char* about, int threads_min, void (*run)(const Settings&)) {
  return {name, about, kAnyDesign, false, threads_min, false, true, run};
}

}  // namespace

std::vector<Case> backend_cases() {
  return {
      pytorch_case("device_first_use", "the device, first asked for by all threads at once", 2, run_device_first_use),
      pytorch_case("first_use", "the default stream, first asked for by all threads at once", 2, run_first_use),
      pytorch_case("allocator_first_use", "the allocator, first used by all threads at once", 2, run_allocator_first_use),
      pytorch_case("events_first_use", "the event pool, first asked for by all threads at once", 2, run_events_first_use),
      pytorch_case("profiler_first_use", "the profiler, first asked for by all threads at once", 2, run_profiler_first_use),
      pytorch_case("generator_first_use", "the default generator, first asked for by all threads at once", 2, run_generator_first_use),
      pytorch_case("graph_cache_first_use", "the graph cache, first asked for by all threads at once", 2, run_graph_cache_first_use),
      pytorch_case("pipelines", "a shader library's pipelines, first asked for by all threads at once", 2, run_pipelines),
      pytorch_case("synchronize", "torch.mps.synchronize while the other threads encode", 1, run_synchronize),
      pytorch_case("commit_stream", "torch.mps.commit while the other threads encode", 1, run_commit_stream),
      pytorch_case("statistics", "memory statistics and empty_cache while the other threads allocate", 1, run_statistics),
      pytorch_case("pressure", "large buffers, freed while commands use them, and an emptied cache", 1, run_pressure),
      pytorch_case("event_shared", "one event that all threads record, wait for and query", 2, run_event_shared),
      pytorch_case("elapsed_twice", "elapsed time of one pair of events, asked for twice", 1, run_elapsed_twice),
      pytorch_case("profiler_switched", "the profiler is started and stopped while the other threads encode", 2, run_profiler_switched),
      pytorch_case("copies", "tensors to the device and back, blocking", 1, run_copies),
      pytorch_case("non_blocking", "tensors to the device, not waited for, whose source is freed at once", 1, run_non_blocking),
      pytorch_case("copies_cast", "tensors to the device and back, with another type there", 1, run_copies_cast),
      pytorch_case("generator", "state and seed of the default generator, under its mutex", 1, run_generator),
      pytorch_case("capture_first_use", "whether captures are possible, first asked by all threads at once", 2, run_capture_first_use),
      pytorch_case("guard_synchronize", "torch.accelerator.synchronize while the other threads encode", 1, run_guard_synchronize),
      pytorch_case("hooks_command_buffer", "the stream's command buffer, taken by a program for work of its own", 1, run_hooks_command_buffer),
      pytorch_case("memory_fraction", "the memory's limits are set while the other threads allocate", 2, run_memory_fraction),
      pytorch_case("event_synchronize_shared", "all threads wait for one event", 2, run_event_synchronize_shared),
      pytorch_case("event_unknown", "an event that there is not, and then events of other threads", 2, run_event_unknown),
      pytorch_case("event_acquire", "events as the allocator takes them: no two with one number", 2, run_event_acquire),
      pytorch_case("event_recycled", "an event that was used before is as a new one", 1, run_event_recycled),
      pytorch_case("non_blocking_strided", "a copy to the host that is not waited for, with other strides there", 1, run_non_blocking_strided),
      pytorch_case("gappy_copy", "a copy to the host between views with gaps", 1, run_gappy_copy),
      pytorch_case("generator_clone", "a generator's clone goes on where the generator is", 1, run_generator_clone),
  };
}

}  // namespace harness
