// A backend's function that enters its serial queue, called by another one that is on it already.
#include "native/metal_platform.h"

#include <string>

#include "common.h"
#include "native/cases.h"
#include "native/faults.h"

namespace harness {

namespace {

const char kQueueKey = 0;

class SerialState {
 public:
  SerialState() : queue_(dispatch_queue_create("mps-stress.serial", DISPATCH_QUEUE_SERIAL)) {
    dispatch_queue_set_specific(queue_, &kQueueKey, this, nullptr);
  }
  ~SerialState() { dispatch_release(queue_); }

  void run(dispatch_block_t block) {
    bool is_on_queue = dispatch_get_specific(&kQueueKey) == this;
    if (is_on_queue && !case_fault("queue_guard_missing")) {
      block();
    } else {
      dispatch_sync(queue_, block);
    }
  }

  void add_pair() {
    run(^{
      ++outer_;
      run(^{
        ++inner_;
      });
    });
  }

  long outer() const { return outer_; }
  long inner() const { return inner_; }

 private:
  dispatch_queue_t queue_;
  long outer_ = 0, inner_ = 0;
};

}  // namespace

void run_reentrant_dispatch_sync(const Settings& settings) {
  SerialState state;
  SerialState* shared = &state;
  run_crew(settings, settings.threads, [&](Worker& worker) {
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      shared->add_pair();
      worker.done();
    }
  });
  long expected = static_cast<long>(settings.threads) * settings.iterations;
  expect(state.outer() == expected && state.inner() == expected, "serial_queue_excludes",
         std::to_string(state.outer()) + " and " + std::to_string(state.inner()) + " entries instead of " + std::to_string(expected));
}

}  // namespace harness
