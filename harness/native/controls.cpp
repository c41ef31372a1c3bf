// Races that must be found, and their twin that must not be, in the binary and with the options and threads of the run
// that is to be believed. Without them "0 races" says nothing.
#include <mutex>
#include <thread>

#include "cases.h"

// Named so that a report can be told by its location.
extern "C" {
int mps_race_canary = 0;
int mps_race_canary_history = 0;
int mps_race_canary_guarded = 0;
}

namespace harness {

namespace {

constexpr int kCallsBetween = 100000;

// One write by each of the first two threads, one after the other: of two writes at the very same moment ThreadSanitizer
// sees neither now and then. Nothing but relaxed atomics stands between them: a lock would order the two, and there would
// be no race.
void run_canary(const Settings& settings) {
  Rendezvous together(settings.threads);
  int written = 0;
  run_crew(settings, settings.threads, [&](Worker& worker) {
    together.arrive();
    if (worker.index() == 0) {
      mps_race_canary = 1;
      __atomic_store_n(&written, 1, __ATOMIC_RELAXED);
    } else if (worker.index() == 1) {
      while (__atomic_load_n(&written, __ATOMIC_RELAXED) == 0) std::this_thread::yield();
      mps_race_canary = 2;
    }
    worker.done();
  });
}

__attribute__((noinline)) void touch(volatile int& place) { place = place + 1; }

// The first write has left a short history long before the second one comes.
void run_canary_history(const Settings& settings) {
  Rendezvous together(settings.threads);
  run_crew(settings, settings.threads, [&](Worker& worker) {
    volatile int place = 0;
    if (worker.index() == 0) {
      mps_race_canary_history = 1;
      for (int call = 0; call < kCallsBetween; ++call) touch(place);
    }
    together.arrive();
    if (worker.index() == 1) mps_race_canary_history = 2;
    worker.done();
  });
}

void run_guarded_twin(const Settings& settings) {
  Rendezvous together(settings.threads);
  std::mutex mutex;
  run_crew(settings, settings.threads, [&](Worker& worker) {
    together.arrive();
    if (worker.index() < 2) {
      std::lock_guard<std::mutex> guard(mutex);
      mps_race_canary_guarded = worker.index();
    }
    worker.done();
  });
}

}  // namespace

const std::vector<Control>& controls() {
  static const std::vector<Control> all = {
      {"canary", "two threads write to one variable: exactly one race", "mps_race_canary", run_canary},
      {"canary_history", "the same, with 100 000 calls between the two writes", "mps_race_canary_history", run_canary_history},
      {"guarded_twin", "the canary behind a lock: no race", "mps_race_canary_guarded", run_guarded_twin},
  };
  return all;
}

}  // namespace harness
