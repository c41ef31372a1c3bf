#include "order_host.h"

#include <map>
#include <vector>

#include "order_state.h"

namespace mps_sim::order {

namespace {

std::atomic<size_t> uses_pending{0};

std::multimap<uintptr_t, const HostUse*>& uses() {
  static auto* const all = new std::multimap<uintptr_t, const HostUse*>;
  return *all;
}

struct Own {  // Of a thread, and of one stream.
  StreamId stream;
  const char* name;
  std::shared_ptr<Submitted> work;
};
thread_local std::vector<Own> submitted;
thread_local size_t submitted_max = 64;  // Before those that have run are taken out: a tree may commit after thousands.

}  // namespace

HostUse::HostUse(const void* begin, size_t bytes, bool is_write)
    : begin_(reinterpret_cast<uintptr_t>(begin)), end_(begin_ + bytes), is_write_(is_write), is_pending_(is_on()) {
  if (!is_pending_) return;
  Guard guard(state().mutex);
  uses().emplace(begin_, this);
  uses_pending.fetch_add(1, std::memory_order_relaxed);
}

void HostUse::done() {
  if (!is_pending_) return;
  Guard guard(state().mutex);
  is_pending_ = false;
  auto [first, last] = uses().equal_range(begin_);
  for (auto one = first; one != last; ++one) {
    if (one->second != this) continue;
    uses().erase(one);
    uses_pending.fetch_sub(1, std::memory_order_relaxed);
    return;
  }
}

HostUse::~HostUse() { done(); }

bool is_host_memory_in_use() { return uses_pending.load(std::memory_order_relaxed) > 0; }

void host_memory_freed(const void* base, size_t bytes) {
  if (!is_on() || !is_host_memory_in_use()) return;
  const auto begin = reinterpret_cast<uintptr_t>(base), end = begin + bytes;
  Guard guard(state().mutex);
  for (const auto& [at, use] : uses()) {
    if (at >= end) return;
    if (use->end_ <= begin) continue;
    Broken broken;
    broken.promise = "source";
    broken.later.name = use->is_write_ ? "write of a copy" : "read of a copy";
    broken.earlier.name = "free";
    broken.memory = "memory of the host";
    broken.promised = use->is_write_ ? "a copy that does not block keeps its destination alive until it has run"
                                     : "a copy that does not block keeps its source alive until it has run";
    broken.kept = "it was freed before the copy had run";
    report(std::move(broken));
  }
}

std::shared_ptr<Submitted> work_submitted(StreamId stream, const char* name) {
  if (!is_on()) return nullptr;
  if (submitted.size() >= submitted_max) {
    std::erase_if(submitted, [](const Own& one) { return one.work->has_run.load(std::memory_order_acquire); });
    submitted_max = std::max<size_t>(64, 2 * submitted.size());
  }
  submitted.push_back({stream, name, std::make_shared<Submitted>()});
  return submitted.back().work;
}

void wait_returned(StreamId stream, const char* call) {
  if (!is_on()) return;
  for (const Own& one : submitted) {
    if ((stream != kAllStreams && one.stream != stream) || one.work->has_run.load(std::memory_order_acquire)) continue;
    Broken broken;
    broken.promise = "synchronize";
    broken.later.name = call;
    broken.earlier.name = one.name;
    broken.promised = std::string(call) + " waits for all that its thread has submitted";
    broken.kept = "it returned, and this work had not run";
    Guard guard(state().mutex);
    report(std::move(broken));
  }
  std::erase_if(submitted, [&](const Own& one) { return stream == kAllStreams || one.stream == stream; });  // Reported once.
}

}  // namespace mps_sim::order
