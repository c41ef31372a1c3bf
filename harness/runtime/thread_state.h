// What the device keeps per thread: its stream, its compiled graphs, its random numbers. Ends with the thread.
#pragma once

#include <atomic>
#include <memory>

#include "order.h"
#include "random.h"

namespace mps_sim {

class GraphCache;

struct ThreadState {
  ThreadState();
  ~ThreadState();

  int ordinal;                 // Order of first use; the crew's index in the replayable mode.
  bool is_main;
  bool is_autograd;            // One of torch's autograd threads, which work for the threads that called backward.
  int bound_stream = -1;       // The pool's choice; -1 before the first use.
  int chosen_stream = -1;      // Explicitly selected; -1 for none.
  int first_bound = -1;        // What the pool chose when the thread was bound, which is what it is promised.
  int promised_stream = 0;     // The stream that the thread should have had when it was last told one,
  int answered_stream = -1;    // and the one that it was told: they differ where a fault struck.
  order::Step step;            // Of a crew thread.
  uint64_t epoch_used = ~0ULL; // See note_thread_uses_device.
  Random lots;                 // For the faults.
  std::shared_ptr<std::atomic<bool>> is_alive;  // False once the thread has ended: who waits for its errors then?
  std::unique_ptr<GraphCache> graphs;           // The fork's design.

  void reseed(int new_ordinal);
  void end();                  // What others must know of the thread's end.
};

// The calling thread's state, or nullptr while the thread is being torn down.
ThreadState* this_thread();

}  // namespace mps_sim
