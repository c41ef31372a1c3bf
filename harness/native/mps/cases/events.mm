// Events whose number more than one thread has, and events that are asked for their time again.
#include <ATen/mps/MPSEvent.h>

#include <atomic>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "native/cases/common.h"
#include "native/mps/cases/list.h"

namespace harness {

namespace {
constexpr size_t kBytes = 256;
constexpr int kKinds = 3;
constexpr int kBusyUs = 1000;
constexpr int kRoundsMax = 20;
constexpr uint32_t kUnknown = 4'000'000'000;
}  // namespace

void run_event_shared(const Settings& settings) {
  int main_stream = backend::current_stream();
  uint32_t event = backend::event_acquire(false);
  backend::event_record(event, main_stream);
  run_crew(settings, settings.threads, [&](Worker& worker) {
    int stream = backend::current_stream();
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      switch ((worker.index() + iteration) % kKinds) {
        case 0: backend::event_record(event, stream); break;
        case 1: backend::event_wait(event, stream); break;
        default: backend::event_query(event);
      }
      worker.done();
    }
    backend::synchronize(stream);
  });
  backend::synchronize_all();
  expect(backend::event_query(event), "event_done_after_synchronize", "all work is done, and an event is not");
  backend::event_release(event);
}

void run_elapsed_twice(const Settings& settings) {
  backend::current_stream();
  run_crew(settings, settings.threads, [&](Worker& worker) {
    int stream = backend::current_stream();
    backend::Buffer buffer = backend::allocate(kBytes, stream);
    uint32_t start = backend::event_acquire(true), end = backend::event_acquire(true);
    backend::event_record(start, stream);
    backend::fill(stream, buffer, worker.byte(0));
    backend::event_record(end, stream);
    double first_ms = 0;
    std::string error = error_of([&] { first_ms = backend::event_elapsed_ms(start, end); });
    worker.done();
    double second_ms = backend::event_elapsed_ms(start, end);  // Also where the first raised an error: the flag is used up.
    expect(error.empty(), "exception", error);
    expect(!error.empty() || first_ms == second_ms, "elapsed_time_stays", "the same two events are first one and then another time apart");
    worker.done();
    backend::event_release(start);
    backend::event_release(end);
    backend::synchronize(stream);
    backend::deallocate(buffer);
  });
}

void run_event_synchronize_shared(const Settings& settings) {
  int stream = backend::current_stream();
  uint32_t event = backend::event_acquire(false);
  std::deque<Rendezvous> together;
  int rounds = settings.iterations < kRoundsMax ? settings.iterations : kRoundsMax;
  for (int one = 0; one < 2 * rounds; ++one) together.emplace_back(settings.threads);
  run_crew(settings, settings.threads, [&](Worker& worker) {
    for (int round = 0; round < rounds; ++round) {
      if (worker.index() == 0) {
        keep_busy(stream, kBusyUs);
        backend::event_record(event, stream);
      }
      together[static_cast<size_t>(2 * round)].arrive();
      backend::event_synchronize(event);
      worker.done();
      together[static_cast<size_t>(2 * round + 1)].arrive();
    }
  });
  backend::event_release(event);
}

void run_event_unknown(const Settings& settings) {
  backend::current_stream();
  std::atomic<bool> is_asked{false};
  run_crew(settings, settings.threads, [&](Worker& worker) {
    if (worker.index() == 0) {
      std::string error = error_of([] { backend::event_query(kUnknown); });
      expect(!error.empty(), "unknown_event_is_an_error", "an event that there is not was asked for, and no error came");
      is_asked.store(true, std::memory_order_relaxed);
    }
    while (!is_asked.load(std::memory_order_relaxed)) std::this_thread::yield();
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      backend::event_release(backend::event_acquire(false));
      worker.done();
    }
  });
}

void run_event_acquire(const Settings& settings) {
  std::shared_ptr<at::mps::MPSEventPool> pool = at::mps::getMPSEventPool();
  at::mps::MPSStream* stream = at::mps::getDefaultMPSStream();
  std::vector<std::vector<at::mps::MPSEventPtr>> held(static_cast<size_t>(settings.threads));
  run_crew(settings, settings.threads, [&](Worker& worker) {
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      held[static_cast<size_t>(worker.index())].push_back(pool->acquireEvent(false, stream));
      worker.done();
    }
  });
  std::vector<bool> seen(1 + static_cast<size_t>(settings.threads * settings.iterations));
  for (auto& one : held) {
    for (auto& event : one) {
      size_t number = event->getID() % seen.size();
      if (!expect(!seen[number], "event_exclusive", "two events have the number " + std::to_string(event->getID()))) return;
      seen[number] = true;
    }
  }
}

void run_event_recycled(const Settings& settings) {
  int stream = backend::current_stream();
  run_crew(settings, 1, [&](Worker& worker) {
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      uint32_t event = backend::event_acquire(false);
      expect(!backend::event_query(event), "new_event_is_not_done", "an event that was never recorded is done");
      backend::event_record(event, stream);
      backend::event_synchronize(event);
      backend::event_release(event);
      worker.done();
    }
  });
}

}  // namespace harness
