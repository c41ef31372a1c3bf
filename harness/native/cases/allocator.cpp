// The allocator's free lists under pressure: two live buffers never share a byte, and all memory comes back.
#include <iterator>
#include <map>
#include <mutex>
#include <vector>

#include "common.h"
#include "native/cases.h"

namespace harness {

namespace {

constexpr size_t kLive = 6;
constexpr int kEmptyEvery = 8;
constexpr int kBusyUs = 10;

// The address ranges of all live buffers.
class Ranges {
 public:
  void add(backend::Buffer buffer) {
    uintptr_t begin = backend::address(buffer);
    std::lock_guard<std::mutex> guard(mutex_);
    auto next = ends_.lower_bound(begin + buffer.bytes);
    bool is_free = next == ends_.begin() || std::prev(next)->second <= begin;
    expect(is_free, "buffers_disjoint", "a new buffer of " + std::to_string(buffer.bytes) + " bytes overlaps a live one");
    ends_[begin] = begin + buffer.bytes;
  }

  void remove(backend::Buffer buffer) {
    std::lock_guard<std::mutex> guard(mutex_);
    ends_.erase(backend::address(buffer));
  }

 private:
  std::mutex mutex_;
  std::map<uintptr_t, uintptr_t> ends_;
};

struct Held {
  backend::Buffer buffer;
  uint8_t value;
};

}  // namespace

void run_allocator(const Settings& settings) {
  Ranges ranges;
  size_t before = backend::allocated_bytes();
  run_crew(settings, settings.threads, [&](Worker& worker) {
    int stream = backend::current_stream();
    std::vector<Held> held;
    auto let_go = [&](size_t which) {
      Held one = held[which];
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(which));
      ranges.remove(one.buffer);
      backend::deallocate(one.buffer);
    };
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      backend::Buffer made = backend::allocate(size_t{64} << worker.random().below(5), stream);
      ranges.add(made);
      if (iteration % 4 == 0) keep_busy(stream, kBusyUs);
      backend::fill(stream, made, worker.byte(iteration));
      held.push_back({made, worker.byte(iteration)});
      // Not all threads at once: what one empties is what the others still use.
      if (iteration % kEmptyEvery == worker.index() % kEmptyEvery) {
        backend::synchronize(stream);
        for (const Held& one : held) expect_filled(one.buffer, one.value, "contents_kept");
        backend::empty_cache();
      } else if (iteration % 2 == 0) {
        backend::synchronize(stream);  // Takes about as long as an emptying, so that the two overlap.
      }
      if (held.size() > kLive) let_go(worker.random().below(held.size()));
      worker.done();
    }
    while (!held.empty()) let_go(held.size() - 1);
    backend::synchronize(stream);
  });
  backend::synchronize_all();
  size_t after = backend::allocated_bytes();
  expect(after == before, "memory_comes_back",
         std::to_string(before) + " bytes allocated before, " + std::to_string(after) + " after everything was freed");
}

}  // namespace harness
