// torch.ops.mps_stress_sim: how the framework steers the device.
#include <torch/library.h>

#include <map>

#include "device_type.h"
#include "errors.h"
#include "fallback.h"
#include "generator.h"
#include "planted_races.h"
#include "runtime/order.h"
#include "trace.h"

namespace mps_sim {

namespace {

c10::Dict<std::string, int64_t> to_dict(const std::map<std::string, int64_t>& values) {
  c10::Dict<std::string, int64_t> dict;
  for (const auto& [name, value] : values) dict.insert(name, value);
  return dict;
}

template <typename Call>
auto in_range(int64_t stream, Call&& call) -> decltype(call(0)) {
  TORCH_CHECK_VALUE(stream >= 0 && stream < stream_count(), "simulated device: no stream ", stream);
  return translated([&] { return call(static_cast<StreamId>(stream)); });
}

uint32_t handle(int64_t event) {
  TORCH_CHECK_VALUE(event > 0 && event <= UINT32_MAX, "simulated device: no event ", event);
  return static_cast<uint32_t>(event);
}

void configure_from(std::string text) {
  translated([&] { configure(text); });
}

c10::Dict<std::string, int64_t> all_statistics() {
  auto values = statistics();
  const CallCounts calls = call_counts();
  values["calls_asynchronous"] = calls.asynchronous;
  values["calls_synchronous"] = calls.synchronous;
  values["calls_view"] = calls.views;
  return to_dict(values);
}

c10::Dict<std::string, int64_t> memory_figures() {
  const Memory now = memory();
  return to_dict({{"allocated_bytes", static_cast<int64_t>(now.allocated_bytes)},
                  {"reserved_bytes", static_cast<int64_t>(now.reserved_bytes)},
                  {"limit_bytes", static_cast<int64_t>(now.limit_bytes)},
                  {"graphs", static_cast<int64_t>(now.graphs)}});
}

void define_faults(torch::Library& library) {
  library.def("configure(str text) -> ()", configure_from);
  library.def("statistics() -> Dict(str, int)", all_statistics);
  library.def("fault_names() -> str[]", fault_names);
  library.def("strikes(str fault) -> bool",
              [](std::string fault) { return translated([&] { return strikes(fault_by_name(fault)); }); });
}

void define_streams(torch::Library& library) {
  library.def("synchronize_all() -> ()", [] {
    trace::waited([] { translated([] { synchronize_all(); }); }, trace::device_synchronization);
  });
  library.def("synchronize_stream(int stream) -> ()", [](int64_t stream) {
    trace::waited([&] { in_range(stream, [](StreamId id) { synchronize(id); }); },
                  [&] { trace::stream_synchronization(static_cast<StreamId>(stream)); });
  });
  library.def("current_stream() -> int", [] { return translated([] { return int64_t{current_stream()}; }); });
  library.def("new_stream() -> int", [] { return translated([] { return int64_t{new_stream()}; }); });
  library.def("exchange_current_stream(int stream) -> int", [](int64_t stream) {
    return in_range(stream, [](StreamId id) { return int64_t{exchange_current_stream(id)}; });
  });
  library.def("release_current_thread_slot() -> ()", [] { translated([] { release_current_thread_slot(); }); });
  library.def("stream_count() -> int", [] { return int64_t{stream_count()}; });
  library.def("schedule_attach(int index, int count) -> ()", [](int64_t index, int64_t count) {
    translated([&] { schedule_attach(static_cast<int>(index), static_cast<int>(count)); });
  });
  library.def("schedule_detach() -> ()", [] { translated([] { schedule_detach(); }); });
  library.def("schedule_not_replayable() -> str", [] { return schedule_not_replayable(); });
  library.def("note_step(int thread, int iteration) -> ()",
              [](int64_t thread, int64_t iteration) { note_step(static_cast<int>(thread), iteration); });
  library.def("take_broken_promises() -> str[]", [] { return order::take_broken(); });
  library.def("device_order() -> int", [] { return static_cast<int64_t>(device_order()); });
}

void define_memory(torch::Library& library) {
  library.def("empty_cache() -> ()", [] { translated([] { empty_cache(); }); });
  library.def("memory() -> Dict(str, int)", memory_figures);
  library.def("set_memory_limit(int bytes) -> ()", [](int64_t bytes) {
    TORCH_CHECK_VALUE(bytes >= 0, "simulated device: a memory limit is at least 0 (none), not ", bytes);
    set_memory_limit(static_cast<size_t>(bytes));
  });
  library.def("device_type() -> str",
              [] { return std::string(kDeviceType == c10::DeviceType::PrivateUse1 ? "privateuseone" : "mps"); });
  library.def("manual_seed(int seed) -> ()", [](int64_t seed) { seed_default_generator(static_cast<uint64_t>(seed)); });
}

void define_events(torch::Library& library) {
  library.def("event_acquire(bool timing) -> int", [](bool timing) {
    const uint32_t event = translated([&] { return event_acquire(timing); });
    trace::event_creation(event);
    return int64_t{event};
  });
  library.def("event_release(int event) -> ()", [](int64_t event) {
    trace::event_deletion(handle(event));  // Before: somebody else may have it next.
    translated([&] { event_release(handle(event)); });
  });
  library.def("event_record(int event, int stream) -> ()", [](int64_t event, int64_t stream) {
    in_range(stream, [&](StreamId id) { event_record(handle(event), id); });
    trace::event_record(handle(event), static_cast<StreamId>(stream));
  });
  library.def("event_wait(int event, int stream) -> ()", [](int64_t event, int64_t stream) {
    in_range(stream, [&](StreamId id) { event_wait(handle(event), id); });
    trace::event_wait(handle(event), static_cast<StreamId>(stream));
  });
  library.def("event_synchronize(int event) -> ()", [](int64_t event) {
    trace::waited([&] { translated([&] { event_synchronize(handle(event)); }); },
                  [&] { trace::event_synchronization(handle(event)); });
  });
  library.def("event_query(int event) -> bool", [](int64_t event) {
    const bool is_done = translated([&] { return event_query(handle(event)); });
    if (is_done) trace::event_synchronization(handle(event));
    return is_done;
  });
  library.def("event_elapsed_ms(int start, int end) -> float", [](int64_t start, int64_t end) {
    const double milliseconds = translated([&] { return event_elapsed_ms(handle(start), handle(end)); });
    trace::event_synchronization(handle(start));
    trace::event_synchronization(handle(end));
    return milliseconds;
  });
}

}  // namespace

std::optional<StreamId> planted_stream(int64_t which) { return static_cast<StreamId>(which); }

TORCH_LIBRARY(mps_stress_sim, library) {
  define_faults(library);
  define_streams(library);
  define_memory(library);
  define_events(library);
}

}  // namespace mps_sim
