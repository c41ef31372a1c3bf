// What order.cpp and order_memory.cpp share. All of it is guarded by the one mutex, which is the last that anybody takes.
#pragma once

#include <algorithm>
#include <atomic>
#include <deque>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "order.h"

namespace mps_sim::order {

constexpr size_t kNamesKept = 1024;
constexpr size_t kHistoryKept = 4096;
constexpr size_t kBrokenMax = 100;

struct Promise {
  StreamId lane = 0;
  Step step;
  Known promised;        // By events and synchronisations.
  Known implied;         // By the lane's own order, where a part of it was sent to another stream.
  Known seen_by_host;    // What was really waited for when the work was submitted.
  uint64_t host_epoch = 0;
};

struct Side {  // Of a broken promise.
  const char* name = nullptr;
  StreamId stream = -1;  // -1: the host.
  uint64_t ticket = 0;
  Step step;
};

struct Broken {
  std::string promise, hazard, memory, promised, kept;
  Side later, earlier;
  uint64_t count = 1;
};

struct Lane {
  Known promised, implied;
  uint64_t host_version = 0;
  std::shared_ptr<const Promise> last;
};

struct Named {
  uint64_t ticket = 0;
  const char* name = nullptr;
  Step step;
};

struct Worker {  // A stream's thread.
  Positions seen{};
  Known last_host, last_checked;
  std::deque<std::pair<uint64_t, Known>> history;  // What it had seen from which ticket on.
  std::array<Named, kNamesKept> names;
};

struct Event {
  bool is_live = false, is_ambiguous = false;
  int recordings = 0;    // Under way.
  uint64_t version = 0;
  Known known;
};

struct State {
  std::mutex mutex;
  std::array<Lane, kStreamsMax> lanes;
  std::array<Worker, kStreamsMax> workers;
  Positions host_seen{}, host_promised{};
  Known host_seen_shared;  // Null after a change.
  uint64_t host_version = 0, host_epoch = 0;
  std::unordered_map<uint32_t, Event> events;
  std::vector<Broken> broken;
};

State& state();
using Guard = std::lock_guard<std::mutex>;

inline uint64_t at(const Known& known, StreamId stream) {
  return known == nullptr ? 0 : (*known)[static_cast<size_t>(stream)];
}

inline bool join(Positions& into, const Positions& other) {
  bool changed = false;
  for (size_t i = 0; i < kStreamsMax; ++i) {
    if (other[i] > into[i]) {
      into[i] = other[i];
      changed = true;
    }
  }
  return changed;
}

inline Known joined(const Known& one, const Positions& other) {
  Positions both = one != nullptr ? *one : Positions{};
  return join(both, other) ? std::make_shared<const Positions>(both) : one;
}

// With the mutex held.
void report(Broken broken);
bool worker_has_seen(StreamId worker, StreamId stream, uint64_t ticket);

}  // namespace mps_sim::order
