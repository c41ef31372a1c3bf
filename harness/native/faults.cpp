// The table of faults and their detectors, and the switches of those that live in a case. A case's fault strikes at every
// 1/p-th pass by a relaxed counter: a lock or a random number behind one would order the threads, and hide the race.
#include "faults.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "backend.h"

namespace harness {

namespace {

constexpr Detector tsan = Detector::tsan, metal = Detector::metal, invariant = Detector::invariant;

// The zoo's probabilities are small, so that finding a fault says something of the scenarios. Here a fault strikes at every
// pass unless that would end the run before anything can be seen: the question is whether the detector sees it at all.
const std::vector<FaultSwitch> kSwitches = {
    {"pool_counter_unlocked", "stream_pool", tsan, 1, 0, false, "the round-robin counter is changed without the lock"},
    {"pool_two_threads_one_stream", "stream_pool", tsan, 0.2, 0, false, "a thread encodes to another thread's stream, outside its queue"},
    {"pool_wrong_stream_for_main", "stream_pool", invariant, 1, 0, false, "the main thread gets a worker's stream"},
    {"pool_binding_lost", "stream_pool", invariant, 0.1, 0, false, "a thread gets another stream between two operations"},
    {"pool_dangling_slot", "pool_churn", invariant, 1, 0, false, "a released slot stays in the thread's cache"},
    {"pool_slot_leak", "pool_churn", invariant, 1, 0, false, "a thread's slot is not given back at its end"},
    {"encoder_outside_queue", "shared_stream", tsan, 0.2, 0, false, "the encoder is taken outside the serial queue"},
    {"encoder_released", "shared_stream", tsan, 0.03, 2000, false, "an encoder is kept over another thread's commit"},
    {"commit_twice", "shared_stream", metal, 1, 2000, false, "the command buffer is committed outside the queue"},
    {"handler_after_commit", "shared_stream", metal, 1, 2000, false, "a handler is added outside the queue"},
    {"commit_open_encoder", "shared_stream", metal, 1, 5000, false, "a commit does not end the encoder"},
    {"dispatch_sync_reentrant", "shared_stream", metal, 1, 2000, false, "a thread that found the queue busy enters it twice"},
    {"allocator_free_list", "shared_stream", tsan, 0.2, 2000, false, "a block is taken from the free list without the lock"},
    {"allocator_statistics_unlocked", "shared_stream", tsan, 1, 0, false, "the counter of allocated bytes is changed without the lock"},
    {"wait_lost_wakeup", "stream_pool", invariant, 1, 5000, false, "a waiting thread sleeps after the only notification"},
    {"allocator_reuse_before_completion", "allocator", tsan, 1, 0, false, "a freed block goes to another stream too early"},
    {"allocator_size_class", "allocator", invariant, 1, 0, false, "a freed block is filed under two sizes"},
    {"allocator_aba", "allocator", invariant, 1, 1000, false, "garbage collection trusts an address that has a new owner"},
    {"record_stream_missing", "record_stream", tsan, 1, 0, false, "record_stream is forgotten"},
    {"record_stream_first_only", "record_stream", tsan, 1, 0, false, "record_stream notes the first use only"},
    {"lock_order_inversion", "record_stream", tsan, 0.2, 0, false, "allocator and stream queue are locked in two orders"},
    {"event_wait_missing", "event_pool", tsan, 1, 0, false, "a stream's wait for an event is not encoded"},
    {"event_wrong_ticket", "event_pool", tsan, 1, 0, false, "a wait is for the position before"},
    {"event_pool_crosstalk", "event_pool", invariant, 1, 0, false, "an event has two owners"},
    {"event_elapsed_time_deadlock", "event_timing", invariant, 0.2, 0, false, "elapsed_time waits for ever"},
    {"timing_pin_leaked", "event_timing", invariant, 0.2, 0, false, "a timed event keeps memory when it is recorded again or let go"},
    {"shader_library_unlocked", "shader_library", tsan, 0.5, 0, false, "a library of a program's own kernels is changed without the lock"},
    {"graph_cache_unlocked", "graph_cache", tsan, 1, 0, false, "the shared graph cache is changed without the lock"},
    {"graph_cache_wrong_key", "graph_cache", invariant, 1, 0, false, "the cache's key leaves out the constants"},
    {"graph_cache_double_compile", "graph_cache", invariant, 1, 0, false, "the second compilation of a graph replaces the first, in use"},
    {"graph_cache_cleared_in_use", "graph_cache_clear", tsan, 1, 0, false, "compiled graphs are destroyed while they are in use"},
    {"synchronize_skips_stream", "synchronize_all", invariant, 1, 0, false, "synchronize leaves out a busy stream"},
    {"error_swallowed", "errors", invariant, 1, 0, false, "a failed command buffer's status is not read"},
    {"error_wrong_thread", "errors", invariant, 1, 0, false, "whoever synchronises first gets the error"},
    {"thread_exit_in_flight", "thread_exit", tsan, 1, 0, false, "a thread's end destroys graphs that still run"},
    {"exit_static_destruction", "thread_exit", tsan, 1, 0, false, "a static object is destroyed while streams use it"},
    {"protocol_encoder_unqueued", "command_buffer", metal, 0.2, 0, true, "an encoder of a shared command buffer, outside the queue"},
    {"protocol_commit_unqueued", "command_buffer", metal, 0.2, 0, true, "a shared command buffer is committed outside the queue"},
    {"queue_wait_missing", "multi_queue", tsan, 1, 0, true, "a queue reads another one's buffer without waiting for its event"},
    {"handler_unlocked", "completion_handlers", tsan, 1, 0, true, "a completion handler changes shared state without the lock"},
    {"queue_guard_missing", "reentrant_dispatch_sync", metal, 1, 0, true, "a queue is entered by a block that is on it already"},
};

constexpr long long kWindowUsMax = 1'000'000;

struct CaseFault {
  const char* name = nullptr;
  double probability = 0;
  bool is_twin = false;
  std::atomic<unsigned long> passes{0}, struck{0};
};

CaseFault& armed() {
  static CaseFault one;
  return one;
}

const FaultSwitch* find(const std::string& name) {
  std::string known;
  for (const FaultSwitch& one : kSwitches) {
    if (name == one.name) return &one;
    known += (known.empty() ? "" : ", ") + std::string(one.name);
  }
  throw std::invalid_argument("unknown fault '" + name + "': choose from " + known);
}

int window_of(const std::string& given, const FaultSwitch& fault) {
  if (fault.is_of_case) throw std::invalid_argument(std::string("the fault ") + fault.name + " has no window: leave it out");
  char* end = nullptr;
  long long window_us = std::strtoll(given.c_str(), &end, 10);
  if (given.empty() || *end != '\0' || window_us < 0 || window_us > kWindowUsMax) {
    throw std::invalid_argument("'" + given + "' is no window: write microseconds, at most " + std::to_string(kWindowUsMax));
  }
  return static_cast<int>(window_us);
}

}  // namespace

const std::vector<FaultSwitch>& fault_switches() { return kSwitches; }

const char* detector_name(Detector detector) {
  switch (detector) {
    case Detector::tsan: return "tsan";
    case Detector::metal: return "metal";
    case Detector::invariant: return "invariant";
  }
  return "";
}

ArmedFault arm_fault(const std::string& text) {
  size_t colon = text.find(':');
  std::string name = text.substr(0, colon);
  size_t slash = name.find('/');
  std::string suffix = slash == std::string::npos ? "" : name.substr(slash);
  if (!suffix.empty() && suffix != "/twin") {
    throw std::invalid_argument("'" + text + "': write NAME or NAME/twin, with :PROBABILITY or :PROBABILITY:WINDOW_US after it");
  }
  const FaultSwitch* fault = find(name.substr(0, slash));
  double probability = fault->probability;
  int window_us = fault->window_us;
  if (colon != std::string::npos) {
    std::string given = text.substr(colon + 1);
    size_t next = given.find(':');
    if (next != std::string::npos) {
      window_us = window_of(given.substr(next + 1), *fault);
      given.resize(next);
    }
    char* end = nullptr;
    probability = std::strtod(given.c_str(), &end);
    if (given.empty() || *end != '\0' || !(probability > 0 && probability <= 1)) {
      throw std::invalid_argument("'" + given + "' is no probability: write a number above 0, at most 1");
    }
  }
  bool is_twin = !suffix.empty();
  if (fault->is_of_case) {
    armed().name = fault->name;
    armed().probability = probability;
    armed().is_twin = is_twin;
  } else {
    backend::arm(fault->name, probability, window_us, is_twin);
  }
  return {fault, is_twin};
}

bool case_fault(const char* name) {
  CaseFault& one = armed();
  if (one.name == nullptr || std::strcmp(one.name, name) != 0) return false;
  // Every 1/p-th pass, counted over all threads without ordering them.
  unsigned long pass = one.passes.fetch_add(1, std::memory_order_relaxed) + 1;
  bool strikes = static_cast<unsigned long>(static_cast<double>(pass) * one.probability) !=
                 static_cast<unsigned long>(static_cast<double>(pass - 1) * one.probability);
  if (!strikes) return false;
  one.struck.fetch_add(1, std::memory_order_relaxed);
  return !one.is_twin;
}

unsigned long case_fault_count() { return armed().struck.load(std::memory_order_relaxed); }

}  // namespace harness
