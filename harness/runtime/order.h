// Promised order against kept order. What the program asked for (events, synchronisations, the order of one stream, memory
// that is given out) is noted where it is asked; what the device did is noted where it does it: on the streams' threads, and
// where a thread has really waited. An order that was promised and that nothing enforced is the device's bug, in whatever
// order the work happened to run: nothing here looks at a clock. Knows no streams, only their numbers and positions.
//
// A position is a ticket: "stream 3 up to 17". Calls are no-ops while it is switched off, as it is under ThreadSanitizer, for
// which the lock below would order everything.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "device.h"

namespace mps_sim::order {

constexpr int kStreamsMax = 40;
using Positions = std::array<uint64_t, kStreamsMax>;
using Known = std::shared_ptr<const Positions>;  // Null: nothing.

bool is_on();
void switch_on(bool wanted);

// ---- memory: who owns it, for as long as work that was submitted for that owner may run
struct Owner;
using OwnerRef = std::shared_ptr<Owner>;

void allocated(const void* base, size_t bytes, StreamId lane, uint64_t position);
void freed(const void* base);                          // Before the allocator may give it out again.
void recorded(const void* base, StreamId lane);        // record_stream.
OwnerRef owner_of(const void* base);                   // Null for memory that is not the device's.
OwnerRef device_memory(const void* base);              // A buffer of the device's own, which no program knows.
OwnerRef borrowed(std::weak_ptr<void> holder);         // The host's memory, that `holder` has to keep while work reads it.

// ---- work
struct Promise;
using PromiseRef = std::shared_ptr<const Promise>;

struct Step {  // What a crew thread is at.
  int thread = -1;
  int64_t iteration = -1;
};

// A lane is the stream on which the program believes a thread's work to run.
PromiseRef promise_for(StreamId lane, Step step);
void submitted_elsewhere(StreamId lane, StreamId stream, uint64_t position);

// On a stream's thread, while a kernel runs: whatever it touches is checked.
class RunningWork {
 public:
  RunningWork(StreamId stream, uint64_t ticket, const char* name, const PromiseRef& promise);
  ~RunningWork();
  RunningWork(const RunningWork&) = delete;
  RunningWork& operator=(const RunningWork&) = delete;
};

StreamId running_stream();  // Whose kernel runs on the calling thread; -1 for none.

// By the kernel that runs on this thread; on a thread without one, by the host.
void touch(const OwnerRef& owner, const void* begin, size_t bytes, bool is_write);

// ---- what was really waited for
void stream_waited(StreamId stream, uint64_t ticket, const char* name, StreamId awaited, uint64_t position);
void host_saw(StreamId stream, uint64_t position);     // The host knows that the stream has come so far.

// ---- what was asked for
struct Asked {  // Of a call that waits: what holds when it has returned.
  Positions positions{};
  bool is_anything = false;
  uint32_t event = 0;
  uint64_t version = 0;  // Of the event.
};
void ask_stream(Asked& asked, StreamId lane, uint64_t position);
Asked ask_event(uint32_t event);
void returned(const Asked& asked, const char* call);

void event_acquired(uint32_t event);
void event_released(uint32_t event);

class Recording {  // Around event_record.
 public:
  Recording(uint32_t event, StreamId lane, uint64_t position);
  ~Recording();
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

 private:
  uint32_t event_;
  Known known_;
};

class Waiting {  // Around event_wait.
 public:
  Waiting(uint32_t event, StreamId lane);
  ~Waiting();
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  uint32_t event_;
  StreamId lane_;
  Known known_;
  uint64_t version_ = 0;
};

// A compiled graph is destroyed; `used` says how far the streams had come when it was last submitted.
void graph_destroyed(const Positions& used);

// ---- what was found, since it was taken last: one line each, its fields separated by tabs (see stress/order/broken_promise.py)
std::vector<std::string> take_broken();

}  // namespace mps_sim::order
