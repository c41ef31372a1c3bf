// Copies that run beside their stream, each with the event that its readers wait for. The lock is given up before the
// wait, because the thread may wait for long there.
#include "side_copies.h"

#include <atomic>
#include <mutex>
#include <unordered_map>

namespace mps_sim {

namespace {

struct SideCopies {
  std::mutex mutex;
  std::unordered_map<void*, uint32_t> events;  // By memory. An entry goes when its copy has run.
  std::atomic<size_t> count{0};
};

SideCopies& side_copies() {
  static auto* const one = new SideCopies;
  return *one;
}

thread_local int attention_depth = 0;

void erase_done(SideCopies& copies) {
  for (auto entry = copies.events.begin(); entry != copies.events.end();) {
    if (event_query(entry->second)) {
      event_release(entry->second);
      entry = copies.events.erase(entry);
    } else {
      ++entry;
    }
  }
  copies.count.store(copies.events.size(), std::memory_order_release);
}

}  // namespace

void note_side_copy(void* memory, StreamId stream) {
  uint32_t event = event_acquire(false);
  event_record(event, stream);
  SideCopies& copies = side_copies();
  std::lock_guard<std::mutex> guard(copies.mutex);
  erase_done(copies);
  auto [entry, is_new] = copies.events.emplace(memory, event);
  if (!is_new) {
    event_release(entry->second);
    entry->second = event;
  }
  copies.count.store(copies.events.size(), std::memory_order_release);
}

void wait_for_side_copies(void* memory, StreamId stream) {
  SideCopies& copies = side_copies();
  if (copies.count.load(std::memory_order_acquire) == 0 || attention_depth > 0) return;
  uint32_t event = 0;
  {
    std::lock_guard<std::mutex> guard(copies.mutex);
    erase_done(copies);
    auto found = copies.events.find(memory);
    if (found != copies.events.end()) event = found->second;
  }
  // Without the lock, since the thread may wait here; an event that was released meanwhile is done, or costs a wait.
  if (event != 0) event_wait(event, stream);
}

AttentionScope::AttentionScope() { ++attention_depth; }
AttentionScope::~AttentionScope() { --attention_depth; }

}  // namespace mps_sim
