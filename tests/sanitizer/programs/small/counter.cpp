// The code under test: a counter that threads share.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "program.h"

namespace {

class Counter {
 public:
  void add(bool locked) {
    if (!locked) {
      ++value_;
      return;
    }
    std::lock_guard<std::mutex> held(mutex_);
    ++value_;
  }
  void lose() {
    std::lock_guard<std::mutex> held(mutex_);
    --value_;
  }
  long value() const { return value_; }

 private:
  std::mutex mutex_;
  long value_ = 0;
};

void assert_as_metal_does() {
  std::fputs("-[IOGPUMetalCommandBuffer validate]:214: failed assertion "
             "`A command encoder is already encoding to this command buffer'\n", stderr);
  std::abort();
}

}  // namespace

Done run_counter(const Settings& settings) {
  Counter counter;
  bool unlocked = settings.strikes("counter_unlocked");
  run_threads(settings.threads, [&](int index) {
    if (index == 1 && settings.strikes("encoder_taken_twice")) assert_as_metal_does();
    for (int turn = 0; turn < settings.iterations; ++turn) counter.add(!unlocked);
  });
  if (settings.strikes("count_lost")) counter.lose();
  long expected = static_cast<long>(settings.threads) * settings.iterations;
  Done done{expected, 0, settings.fault.empty() ? 0L : 1L};
  if (counter.value() != expected && !unlocked) {
    std::printf("{\"kind\": \"violation\", \"invariant\": \"count\", \"text\": \"%ld of %ld\"}\n", counter.value(), expected);
    done.violations = 1;
  }
  return done;
}

Done run_stuck(const Settings& settings) {
  Counter counter;
  run_threads(settings.threads, [&](int) {
    counter.add(false);
    while (true) sleep(1);
  });
  return {};
}
