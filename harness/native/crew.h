// N threads that start together. The barrier is a spin on relaxed atomics: a lock between the start and the first access
// would order the threads for ThreadSanitizer, and hide the race it was meant to show.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "runtime/random.h"

namespace harness {

struct Settings {
  std::string case_name;
  int threads = 8;
  int iterations = 50;
  uint64_t seed = 1;
};

// What one thread of a crew knows of itself.
class Worker {
 public:
  Worker(int index, int count, uint64_t seed) : index_(index), count_(count), random_(seed) {}
  int index() const { return index_; }
  int count() const { return count_; }
  mps_sim::Random& random() { return random_; }
  uint8_t byte(int iteration) const;  // A value of its own: differs between threads, and between iterations.
  void done();                        // One operation has ended; the watchdog sees that the crew lives.

 private:
  int index_, count_;
  mps_sim::Random random_;
};

// Waits for all `count` threads that call it with the same object, once.
class Rendezvous {
 public:
  explicit Rendezvous(int count) : count_(count) {}
  void arrive();

 private:
  const int count_;
  int arrived_ = 0;  // Only through relaxed atomic builtins.
};

// Runs `body` in `threads` threads and joins them. What a body throws is a violation of the invariant "exception".
// `beside` runs on the calling thread meanwhile.
void run_crew(const Settings& settings, int threads, const std::function<void(Worker&)>& body,
              const std::function<void()>& beside = nullptr);

uint64_t operations_done();

// What a throwing call said; empty when it did not throw. Objective-C++ files cannot catch C++ exceptions everywhere.
// `backend::Unavailable` does not come back: it ends the run.
std::string error_of(const std::function<void()>& call);

// Ends the process with status 4: the backend has no such function, so that the case says nothing. At once, since other
// threads may wait for the one that came here.
[[noreturn]] void end_unavailable(const std::string& function);

// Ends the process with the invariant "progress" once nothing has been done and no CPU time used for `stall_s` seconds,
// or nothing done for four times as long. It watches until `stop_watchdog`: the process's end can hang, too.
// `last_words` are said before any end from here.
void start_watchdog(double stall_s, void (*last_words)());
void stop_watchdog();

}  // namespace harness
