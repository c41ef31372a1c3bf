// One thread waits for everything while the others go on: what was encoded before the wait is there after it.
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "common.h"
#include "native/cases.h"

namespace harness {

namespace {

constexpr size_t kBytes = 64;
constexpr int kBusyUs = 1000;
constexpr int kBusyEvery = 8;
constexpr int kLooksMax = 100000;
constexpr int kTurnsMax = 1000;

struct Row {
  std::vector<backend::Buffer> buffers;
  std::atomic<int> encoded{0};
  int checked = 0;
};

// Gives the waiting thread a chance while something is under way, without ordering the two.
void await_look(const std::atomic<int>& looks) {
  int before = looks.load(std::memory_order_relaxed);
  for (int turn = 0; turn < kTurnsMax && looks.load(std::memory_order_relaxed) == before; ++turn) std::this_thread::yield();
}

}  // namespace

void run_synchronize_all(const Settings& settings) {
  std::vector<std::unique_ptr<Row>> rows;
  for (int thread = 0; thread < settings.threads; ++thread) {
    rows.push_back(std::make_unique<Row>());
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      rows.back()->buffers.push_back(backend::allocate(kBytes, 0));
    }
  }
  std::atomic<int> looks{0};
  auto value = [](int thread, int iteration) { return static_cast<uint8_t>(1 + (thread * 31 + iteration) % 251); };
  auto check_encoded = [&] {
    std::vector<int> encoded;
    for (auto& row : rows) encoded.push_back(row->encoded.load(std::memory_order_acquire));
    backend::synchronize_all();
    for (size_t thread = 0; thread < rows.size(); ++thread) {
      Row& row = *rows[thread];
      for (; row.checked < encoded[thread]; ++row.checked) {
        expect_filled(row.buffers[static_cast<size_t>(row.checked)], value(static_cast<int>(thread), row.checked),
                      "visible_after_synchronize_all");
      }
    }
  };
  run_crew(
      settings, settings.threads,
      [&](Worker& worker) {
        int stream = backend::current_stream();
        Row& row = *rows[static_cast<size_t>(worker.index())];
        for (int iteration = 0; iteration < settings.iterations; ++iteration) {
          if (iteration % kBusyEvery == 0) keep_busy(stream, kBusyUs);
          backend::fill(stream, row.buffers[static_cast<size_t>(iteration)], value(worker.index(), iteration));
          row.encoded.store(iteration + 1, std::memory_order_release);
          worker.done();
          if (iteration % kBusyEvery == 0) await_look(looks);
        }
      },
      [&] {
        // For as long as the crew is at work, but not for ever.
        auto all = static_cast<uint64_t>(settings.threads) * static_cast<uint64_t>(settings.iterations);
        for (int look = 0; look < kLooksMax && operations_done() < all; ++look) {
          check_encoded();
          looks.fetch_add(1, std::memory_order_relaxed);
        }
      });
  check_encoded();
  for (auto& row : rows) {
    for (backend::Buffer one : row->buffers) backend::deallocate(one);
  }
}

}  // namespace harness
