// A spin lock that ThreadSanitizer does not take for one. Metal's command buffers and encoders are for one thread at a time, and
// two threads in one must be reported, so no lock may order them; but what such threads do to the simulation's own vectors must
// not end in a crash of these before Metal's assertion is reached. Relaxed operations order nothing for ThreadSanitizer; the
// processor and the compiler are kept in order by hand.
#pragma once

#include <sched.h>

#include <atomic>

namespace simulated {

class UnorderedLock {
 public:
  void lock() {
    while (is_held_.exchange(true, std::memory_order_relaxed)) sched_yield();
    fence();
  }

  void unlock() {
    fence();
    is_held_.store(false, std::memory_order_relaxed);
  }

 private:
  static void fence() {
#if defined(__aarch64__)
    asm volatile("dmb ish" : : : "memory");
#else
    asm volatile("mfence" : : : "memory");
#endif
  }

  std::atomic<bool> is_held_{false};
};

}  // namespace simulated
