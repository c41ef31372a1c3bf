// What device memory a kernel reads and writes, told on the stream's thread: to ThreadSanitizer in a build with it, together
// with the operation that a stack belongs to (torch's own kernels are not instrumented, so that nothing else would), else to
// runtime/order.h, which checks the order that was promised.
//
// When one kernel happens before another one is not told: the runtime's locks and atomics say it, which are instrumented.
#pragma once

#include <cstdint>

#include "tensors.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MPS_SIM_TSAN 1
#include "preload/in_flight.h"
extern "C" {
void __tsan_func_entry(void* pc);
void __tsan_func_exit();
}
#endif
#endif

namespace mps_sim {

#ifdef MPS_SIM_TSAN

struct Step {  // What a crew thread is at.
  int thread = -1;
  int64_t iteration = -1;
};

void note_step(Step step);  // Of the calling thread.

// Without a frame of its own: a report is named after whoever calls it.
[[gnu::always_inline, gnu::nodebug]] inline void announce_bytes(const void* begin, size_t bytes, bool is_write) {
  if (mps_stress_in_flight_access != nullptr) mps_stress_in_flight_access(begin, bytes, is_write);
}

void announce_read(const Layout& layout, const MemoryRange& memory);
void announce_write(const Layout& layout, const MemoryRange& memory);

// While it lives, no access of the calling thread counts: what it touches on the device was announced, and the rest is
// torch's own. Of that ThreadSanitizer sees parts (malloc, free, memcpy) and not what orders them: oneDNN's cache of
// primitives, for one, looked like a race between two kernels.
class Announced {
 public:
  Announced();
  ~Announced();
  Announced(const Announced&) = delete;
  Announced& operator=(const Announced&) = delete;
};

// Deletes a reference to a storage that another thread may free later, in code of torch's: see preload/in_flight.cpp.
void put_down(c10::Storage* storage);

// A frame with an operation's name in the stacks of the calling thread. The name has to live for ever. Always inlined: an
// instrumented function takes the uppermost frame away when it returns.
class NamedFrame {
 public:
  [[gnu::always_inline]] NamedFrame(const char* operation, uintptr_t mark) {
    __tsan_func_entry(reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(operation) | mark));
  }
  [[gnu::always_inline]] ~NamedFrame() { __tsan_func_exit(); }
  NamedFrame(const NamedFrame&) = delete;
  NamedFrame& operator=(const NamedFrame&) = delete;
};

#define MPS_SIM_CALL_FRAME(operation) \
  const ::mps_sim::NamedFrame call_frame((operation), ::mps_sim::kNamedFrame | ::mps_sim::kNamedFrameOfCall)

// What a kernel takes along from where it is submitted.
class KernelOrigin {
 public:
  KernelOrigin(const char* operation, StreamId stream);

  template <typename Function>
  void run(Function&& function) const {
    note_begin();
    {
      const NamedFrame frame(operation_, kNamedFrame);
      function();
    }
    note_end();
  }

 private:
  void note_begin() const;
  static void note_end();

  const char* operation_;
  StreamId stream_;
  Step step_;
};

#else

inline void announce_bytes(const void*, size_t, bool) {}
void announce_read(const Layout& layout, const MemoryRange& memory);
void announce_write(const Layout& layout, const MemoryRange& memory);
inline void put_down(c10::Storage* storage) { delete storage; }

class Announced {
 public:
  Announced() {}
};

#define MPS_SIM_CALL_FRAME(operation) static_cast<void>(0)

class KernelOrigin {
 public:
  KernelOrigin(const char*, StreamId) {}
  template <typename Function>
  void run(Function&& function) const {
    function();
  }
};

#endif

// A CPU tensor over device memory that the calling kernel reads.
inline at::Tensor read_alias(const Layout& layout, const MemoryRange& memory) {
  announce_read(layout, memory);
  return alias(layout, memory);
}

}  // namespace mps_sim
