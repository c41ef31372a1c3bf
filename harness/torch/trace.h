// Tells torch's GPU trace what a program asks of streams and events: what an order checker reads (`stress.order`, and torch's
// own sanitizer reads CUDA's). Nothing unless somebody has switched the trace on. Only what torch's interfaces promise is
// told: waits that the model makes for itself are its own affair.
//
// A call takes Python's lock, so it stands where the caller holds no lock of the device and waits for nothing.
#pragma once

#include <c10/core/impl/GPUTrace.h>
#include <c10/util/Exception.h>

#include <utility>

#include "device_type.h"
#include "runtime/device.h"

namespace mps_sim::trace {

template <typename Tell>
void tell(Tell&& tell_trace) {
  const c10::impl::PyInterpreter* interpreter = c10::impl::GPUTrace::get_trace();
  if (C10_UNLIKELY(interpreter != nullptr)) tell_trace(*interpreter);
}

inline uintptr_t handle_of(StreamId stream) { return static_cast<uintptr_t>(stream); }

inline void event_creation(uint32_t event) {
  tell([&](const auto& python) { python->trace_gpu_event_creation(kDeviceType, event); });
}
inline void event_deletion(uint32_t event) {
  tell([&](const auto& python) { python->trace_gpu_event_deletion(kDeviceType, event); });
}
inline void event_record(uint32_t event, StreamId stream) {
  tell([&](const auto& python) { python->trace_gpu_event_record(kDeviceType, event, handle_of(stream)); });
}
inline void event_wait(uint32_t event, StreamId stream) {
  tell([&](const auto& python) { python->trace_gpu_event_wait(kDeviceType, event, handle_of(stream)); });
}
// Also for a query that found the event done: the trace has no call for that, and it orders as much.
inline void event_synchronization(uint32_t event) {
  tell([&](const auto& python) { python->trace_gpu_event_synchronization(kDeviceType, event); });
}
inline void stream_synchronization(StreamId stream) {
  tell([&](const auto& python) { python->trace_gpu_stream_synchronization(kDeviceType, handle_of(stream)); });
}
inline void device_synchronization() {
  tell([&](const auto& python) { python->trace_gpu_device_synchronization(kDeviceType); });
}

// A wait that raises an error has waited all the same: that is how it learned of a kernel's.
template <typename Wait, typename Tell>
void waited(Wait&& wait, Tell&& tell_trace) {
  try {
    std::forward<Wait>(wait)();
  } catch (const c10::AcceleratorError&) {
    tell_trace();
    throw;
  }
  tell_trace();
}

}  // namespace mps_sim::trace
