// A command buffer with Metal's rules. Breaking one ends the process with Metal's own words on stderr, as a Mac's driver
// does; the class names in the text say that it was simulated.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "assertions.h"
#include "device.h"
#include "graph_cache.h"
#include "order.h"

namespace mps_sim {

// What a freed object is filled with, so that using it faults instead of seeming to work (as MallocScribble does).
inline void* scribble() { return reinterpret_cast<void*>(0x5555555555555555ULL); }

// One piece of work on a stream: a kernel, or a wait for another stream.
struct Work {
  const char* name = "";
  Kernel kernel;                       // Empty for a wait.
  StreamId awaited_stream = -1;
  uint64_t awaited_ticket = 0;
  uint64_t ticket = 0;                 // Position on its own stream, from 1.
  std::shared_ptr<Pipeline> pipeline;  // The compiled graph that it runs.
  order::PromiseRef promise;           // What is promised to it.
  std::shared_ptr<const Accesses> accesses;
  std::shared_ptr<std::atomic<bool>> owner_alive;  // Of the thread that encoded it, which gets its error.
};

class CommandBuffer;

class Encoder {
 public:
  explicit Encoder(CommandBuffer* buffer) : buffer_(buffer) {}
  void dispatch(Work work);
  void end();

 private:
  CommandBuffer* buffer_;
};

class CommandBuffer : public std::enable_shared_from_this<CommandBuffer> {
 public:
  enum Status { not_enqueued = 0, committed = 2, completed = 4 };  // Metal's numbers.

  Encoder* compute_encoder();
  void add_completed_handler(std::function<void()> handler);
  void commit();
  void complete();               // Runs the handlers, then lets go who waits.
  void wait_until_completed();
  void let_write_overtake();     // For a fault: the last kernel goes before an earlier one that reads what it writes.
  Status status() const { return static_cast<Status>(status_.load()); }

  // Metal keeps its own memory safe under misuse, and so does this: the rules are checked, the vector is locked.
  std::vector<Work>& work() { return work_; }
  bool is_empty();

 private:
  friend class Encoder;
  std::mutex mutex_;
  std::atomic<int> status_{not_enqueued};
  std::atomic<bool> is_encoding_{false}, is_finished_{false};
  std::vector<std::unique_ptr<Encoder>> encoders_;
  std::vector<Work> work_;
  std::vector<std::function<void()>> handlers_;
};

}  // namespace mps_sim
