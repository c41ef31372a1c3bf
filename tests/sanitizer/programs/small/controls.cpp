// Two planted races, and one of them under a lock.
#include <mutex>
#include <thread>

#include "program.h"

int mps_race_canary = 0;
int mps_race_canary_history = 0;

namespace {

constexpr int kCalls = 100000;

__attribute__((noinline)) void touch(volatile int& place) { place = place + 1; }

void wait_for(int& flag) {
  while (__atomic_load_n(&flag, __ATOMIC_RELAXED) == 0) std::this_thread::yield();
}

std::mutex guard;

}  // namespace

// One after the other: of two writes at the very same moment ThreadSanitizer sees neither now and then. Only relaxed
// atomics stand between them, so that they race all the same.
Done run_canary(const Settings& settings) {
  int written = 0;
  run_threads(settings.threads, [&written](int index) {
    if (index == 0) {
      mps_race_canary = 1;
      meet(written, 1);
    } else if (index == 1) {
      wait_for(written);
      mps_race_canary = 2;
    }
  });
  return {settings.threads, 0, 0};
}

Done run_history_canary(const Settings& settings) {
  int written = 0;
  run_threads(settings.threads, [&written](int index) {
    if (index == 0) {
      mps_race_canary_history = 1;
      volatile int place = 0;
      for (int call = 0; call < kCalls; ++call) touch(place);
      meet(written, 1);
    } else if (index == 1) {
      wait_for(written);
      mps_race_canary_history = 2;
    }
  });
  return {settings.threads, 0, 0};
}

Done run_guarded_twin(const Settings& settings) {
  run_threads(settings.threads, [](int index) {
    std::lock_guard<std::mutex> held(guard);
    if (index < 2) mps_race_canary = index;
  });
  return {settings.threads, 0, 0};
}
