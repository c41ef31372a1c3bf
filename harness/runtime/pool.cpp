// Models three stream pools: round-robin over 31 streams (fork), exclusive slots that wait or raise when all are taken
// (fork-free-list), and upstream's, where every thread has stream 0 until it selects one. The main thread and autograd's
// threads have stream 0 in all of them.
#include "pool.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stdexcept>

#include "locks.h"
#include "options.h"

namespace mps_sim {

namespace {

class RoundRobin {
 public:
  StreamId next(int streams) {
    if (strikes(Fault::pool_counter_unlocked)) {
      int mine = counter_;
      window(Fault::pool_counter_unlocked);
      counter_ = mine + 1;
      return mine % streams + 1;
    }
    std::lock_guard<Lock> guard(lock_);
    return counter_++ % streams + 1;
  }

 private:
  Lock lock_;
  int counter_ = 0;
};

class FreeList {
 public:
  StreamId take() {
    std::unique_lock<std::mutex> guard(mutex_);
    StreamId found = first_free();
    if (found < 0 && options().pool_wait_ms != 0) {
      if (!schedule_is_free()) {
        guard.unlock();
        schedule_wait([&] {
          std::lock_guard<std::mutex> inner(mutex_);
          return first_free() >= 0;
        });
        guard.lock();
      } else if (options().pool_wait_ms < 0) {
        freed_.wait(guard, [&] { return first_free() >= 0; });
      } else {
        freed_.wait_for(guard, std::chrono::milliseconds(options().pool_wait_ms), [&] { return first_free() >= 0; });
      }
      found = first_free();
    }
    if (found < 0) {
      throw DeviceError("MPS stream pool exhausted (simulated): " + std::to_string(kPoolStreams) +
                        " worker threads hold a stream; end one, release its slot, or set pool_wait_ms");
    }
    is_taken_[static_cast<size_t>(found)] = true;
    return found;
  }

  void give_back(StreamId stream) {
    std::lock_guard<std::mutex> guard(mutex_);
    is_taken_[static_cast<size_t>(stream)] = false;
    freed_.notify_one();
  }

 private:
  StreamId first_free() const {
    for (int stream = 1; stream <= kPoolStreams; ++stream) {
      if (!is_taken_[static_cast<size_t>(stream)]) return stream;
    }
    return -1;
  }

  std::mutex mutex_;
  std::condition_variable freed_;
  std::array<bool, kPoolStreams + 1> is_taken_{};
};

RoundRobin& round_robin() {
  static RoundRobin* const one = new RoundRobin;
  return *one;
}

RoundRobin& explicit_streams() {
  static RoundRobin* const one = new RoundRobin;
  return *one;
}

FreeList& slots() {
  static FreeList* const one = new FreeList;
  return *one;
}

StreamId bind(ThreadState& thread) {
  if (thread.is_main || thread.is_autograd) return 0;
  return options().design == Design::fork_free_list ? slots().take() : round_robin().next(kPoolStreams);
}

StreamId stream_of(ThreadState& thread) {
  thread.promised_stream = std::max(thread.chosen_stream, 0);
  if (thread.is_autograd && thread.chosen_stream > 0 && strikes(Fault::backward_on_wrong_stream)) return 0;
  if (thread.chosen_stream >= 0) return thread.chosen_stream;
  if (!has_thread_streams()) return 0;
  if (thread.bound_stream < 0) thread.bound_stream = thread.first_bound = bind(thread);
  thread.promised_stream = thread.first_bound;
  if (thread.is_main && strikes(Fault::pool_wrong_stream_for_main)) return 1;
  if (!thread.is_main && options().design == Design::fork && strikes(Fault::pool_binding_lost)) {
    thread.bound_stream = round_robin().next(kPoolStreams);
  }
  return thread.bound_stream;
}

}  // namespace

StreamId current_stream() {
  ThreadState* thread = this_thread();
  if (thread == nullptr) return 0;
  thread->answered_stream = stream_of(*thread);
  return thread->answered_stream;
}

StreamId own_lane(StreamId otherwise) {
  ThreadState* thread = this_thread();
  return thread == nullptr || thread->answered_stream < 0 ? otherwise : thread->promised_stream;
}

StreamId lane_of(StreamId stream) {
  ThreadState* thread = this_thread();
  return thread != nullptr && thread->answered_stream == stream ? thread->promised_stream : stream;
}

StreamId exchange_current_stream(StreamId stream) {
  if (stream < 0 || stream >= stream_count()) {
    throw std::invalid_argument("simulated device: no stream " + std::to_string(stream));
  }
  StreamId previous = current_stream();
  if (ThreadState* thread = this_thread()) thread->chosen_stream = stream == thread->bound_stream ? -1 : stream;
  return previous;
}

StreamId new_stream() { return explicit_streams().next(has_thread_streams() ? kPoolStreams : kPoolStreamsUpstream); }

int stream_count() { return 1 + (has_thread_streams() ? kPoolStreams : kPoolStreamsUpstream); }

void release_current_thread_slot() {
  ThreadState* thread = this_thread();
  if (thread == nullptr || thread->is_main || thread->bound_stream < 0 || !has_thread_streams()) return;
  commit(thread->bound_stream);
  if (options().design == Design::fork_free_list) {
    slots().give_back(thread->bound_stream);
    if (strikes(Fault::pool_dangling_slot)) return;
  }
  thread->bound_stream = -1;
}

void release_slot_at_exit(ThreadState& thread) {
  if (options().design != Design::fork_free_list || thread.is_main || thread.bound_stream <= 0) return;
  if (strikes(Fault::pool_slot_leak)) return;
  slots().give_back(thread.bound_stream);
}

}  // namespace mps_sim
