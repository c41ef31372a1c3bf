// The device's locks: a mutex, and a serial queue in the sense of libdispatch, both known to the replayable mode.
#pragma once

#include <atomic>
#include <mutex>
#include <utility>

#include "metal.h"
#include "schedule.h"

namespace mps_sim {

class Lock {
 public:
  void lock() {
    if (schedule_is_free()) {
      mutex_.lock();
      return;
    }
    while (held_.exchange(true)) schedule_wait([this] { return !held_.load(); });
  }

  bool try_lock() { return schedule_is_free() ? mutex_.try_lock() : !held_.exchange(true); }

  void unlock() {
    if (schedule_is_free()) {
      mutex_.unlock();
    } else {
      held_.store(false);
    }
  }

 private:
  std::mutex mutex_;
  std::atomic<bool> held_{false};
};

// dispatch_sync on a serial queue: runs the block on the calling thread, one at a time; not re-entrant.
class SerialQueue {
 public:
  template <class Block>
  void sync(Block&& block) {
    if (owner_.load(std::memory_order_relaxed) == thread_token()) dispatch_sync_deadlock();
    lock_.lock();
    run_owned(std::forward<Block>(block));
  }

  // As `sync`, and tells the block whether the queue was busy when the thread came.
  template <class Block>
  void sync_noting_contention(Block&& block) {
    if (owner_.load(std::memory_order_relaxed) == thread_token()) dispatch_sync_deadlock();
    bool was_busy = !lock_.try_lock();
    if (was_busy) lock_.lock();
    run_owned([&] { block(was_busy); });
  }

 private:
  static const void* thread_token() {
    static thread_local char token;
    return &token;
  }

  template <class Block>
  void run_owned(Block&& block) {
    struct Release {
      SerialQueue& queue;
      ~Release() {
        queue.owner_.store(nullptr, std::memory_order_relaxed);
        queue.lock_.unlock();
      }
    } release{*this};
    owner_.store(thread_token(), std::memory_order_relaxed);
    block();
  }

  Lock lock_;
  std::atomic<const void*> owner_{nullptr};
};

}  // namespace mps_sim
