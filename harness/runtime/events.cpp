// Events: a position on a stream that other streams and threads can wait for.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "device.h"
#include "locks.h"
#include "order.h"
#include "pool.h"
#include "stream.h"

namespace mps_sim {

namespace {

struct Event {
  bool is_in_use = false;
  bool has_timing = false;
  bool is_recorded = false;
  StreamId stream = 0;
  uint64_t ticket = 0;
  std::shared_ptr<std::atomic<int64_t>> ran_ns;  // When the stream came by.
  std::shared_ptr<void> pin;
};

// A time taken from a command buffer keeps the buffer, and memory with it, until the event is recorded again or let go.
// Modelled only while the fault is armed (as a twin, too): it holds on to the pin of a recording for ever.
constexpr size_t kPinBytes = 256;

std::shared_ptr<void> new_pin(StreamId stream) {
  if (!is_armed(Fault::timing_pin_leaked)) return nullptr;
  return {allocate(kPinBytes, stream), deallocate};
}

void let_go(const std::shared_ptr<void>& pin) {
  if (pin != nullptr && strikes(Fault::timing_pin_leaked)) new std::shared_ptr<void>(pin);
}

class EventPool {
 public:
  uint32_t acquire(bool timing) {
    std::lock_guard<Lock> guard(lock_);
    size_t index = free_.empty() ? events_.size() : free_.back();
    if (last_acquired_ != kNone && events_[last_acquired_].is_in_use && strikes(Fault::event_pool_crosstalk)) {
      return static_cast<uint32_t>(last_acquired_ + 1);
    }
    if (free_.empty()) {
      events_.emplace_back();
    } else {
      free_.pop_back();
    }
    events_[index] = Event{};
    events_[index].is_in_use = true;
    events_[index].has_timing = timing;
    last_acquired_ = index;
    return static_cast<uint32_t>(index + 1);
  }

  void release(uint32_t handle) {
    std::shared_ptr<void> pin;  // Goes when the lock has been given up.
    std::lock_guard<Lock> guard(lock_);
    Event& event = at(handle);
    if (!event.is_in_use) return;
    event.is_in_use = false;
    let_go(event.pin);
    pin.swap(event.pin);
    free_.push_back(handle - 1);
  }

  void record(uint32_t handle, StreamId id) {
    std::shared_ptr<std::atomic<int64_t>> ran_ns;
    std::shared_ptr<void> pin;
    if (copy(handle).has_timing) {
      pin = new_pin(id);
      ran_ns = std::make_shared<std::atomic<int64_t>>(0);
      // The fault: both times are taken by callbacks of the host, in either order.
      thread_local std::shared_ptr<std::atomic<int64_t>> last_ns;
      const auto swapped_ns = strikes(Fault::event_time_reversed) ? last_ns : nullptr;
      last_ns = ran_ns;
      submit(id, "record_event", [ran_ns, swapped_ns] {
        const int64_t now_ns = std::chrono::steady_clock::now().time_since_epoch().count();
        ran_ns->store(swapped_ns != nullptr ? swapped_ns->exchange(now_ns) : now_ns);
      });
    }
    uint64_t ticket = mps_sim::stream(id).flush();
    std::lock_guard<Lock> guard(lock_);
    Event& event = at(handle);
    event.is_recorded = true;
    event.stream = id;
    event.ticket = ticket;
    event.ran_ns = ran_ns;
    let_go(event.pin);
    event.pin.swap(pin);
  }

  Event copy(uint32_t handle) {
    std::lock_guard<Lock> guard(lock_);
    return at(handle);
  }

 private:
  static constexpr size_t kNone = ~size_t{0};

  Event& at(uint32_t handle) {
    if (handle == 0 || handle > events_.size()) {
      throw DeviceError("simulated device: no event " + std::to_string(handle));
    }
    return events_[handle - 1];
  }

  Lock lock_;
  std::deque<Event> events_;
  std::vector<size_t> free_;
  size_t last_acquired_ = kNone;
};

EventPool& pool() {
  static EventPool* const one = new EventPool;
  return *one;
}

bool is_done(const Event& event) {
  return !event.is_recorded || mps_sim::stream(event.stream).has_completed(event.ticket);
}

// The fault: a notification that an explicit synchronisation has already consumed.
void wait_for_consumed_notification() {
  std::mutex mutex;
  std::condition_variable never;
  std::unique_lock<std::mutex> guard(mutex);
  never.wait(guard, [] { return false; });
}

}  // namespace

uint32_t event_acquire(bool timing) {
  const uint32_t event = pool().acquire(timing);
  order::event_acquired(event);
  return event;
}

void event_release(uint32_t event) {
  order::event_released(event);
  pool().release(event);
}

void event_record(uint32_t event, StreamId stream) {
  check_not_forked();
  const order::Recording recording(event, lane_of(stream), mps_sim::stream(lane_of(stream)).encoded());
  pool().record(event, stream);
}

void event_wait(uint32_t handle, StreamId stream) {
  check_not_forked();
  const order::Waiting waiting(handle, lane_of(stream));
  Event event = pool().copy(handle);
  if (!event.is_recorded || strikes(Fault::event_wait_missing)) return;
  if (event.ticket > 0 && strikes(Fault::event_wrong_ticket)) --event.ticket;
  mps_sim::stream(stream).wait_for(event.stream, event.ticket);
}

void event_synchronize(uint32_t handle) {
  check_not_forked();
  const order::Asked asked = order::ask_event(handle);
  Event event = pool().copy(handle);
  if (event.is_recorded) mps_sim::stream(event.stream).wait_for_ticket(event.ticket);
  order::returned(asked, "event_synchronize");
}

bool event_query(uint32_t handle) {
  const order::Asked asked = order::ask_event(handle);
  if (!is_done(pool().copy(handle))) return false;
  order::returned(asked, "event_query");
  return true;
}

double event_elapsed_ms(uint32_t start, uint32_t end) {
  check_not_forked();
  Event from = pool().copy(start), to = pool().copy(end);
  if (from.ran_ns == nullptr || to.ran_ns == nullptr) {
    throw DeviceError("simulated device: elapsed_time needs two recorded events that were made with enable_timing=True");
  }
  if (is_done(to) && strikes(Fault::event_elapsed_time_deadlock)) wait_for_consumed_notification();
  event_synchronize(start);
  event_synchronize(end);
  return static_cast<double>(to.ran_ns->load() - from.ran_ns->load()) / 1e6;
}

}  // namespace mps_sim
