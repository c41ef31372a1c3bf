// Two planted races, and one of them under a lock.
#include <mutex>

#include "program.h"

int mps_race_canary = 0;
int mps_race_canary_history = 0;

namespace {

constexpr int kCalls = 100000;

__attribute__((noinline)) void touch(volatile int& place) { place = place + 1; }

std::mutex guard;

}  // namespace

Done run_canary(const Settings& settings) {
  run_threads(settings.threads, [](int index) {
    if (index < 2) mps_race_canary = index;
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
      while (__atomic_load_n(&written, __ATOMIC_RELAXED) == 0) {
      }
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
