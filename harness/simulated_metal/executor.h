// The threads behind a command queue: one is the GPU, which runs committed buffers in order, the other calls the completion
// handlers, in order, while the GPU goes on with the next.
#pragma once

#include <semaphore.h>

#include <atomic>
#include <cstdint>
#include <functional>

namespace simulated {

// A thread that runs what it is given, in order. Started with the first work; it ends with the process. What comes before a push
// comes before the work, for ThreadSanitizer too; two threads that push are not ordered by it, as Metal's and libdispatch's own
// locks order nobody on a Mac, where ThreadSanitizer does not see them. So no mutex.
class Worker {
 public:
  Worker();
  void push(std::function<void()> work);

 private:
  struct Item {
    std::function<void()> work;
    Item* next;
  };

  void run();

  std::atomic<Item*> newest_{nullptr};
  std::atomic<bool> is_started_{false};
  sem_t count_;
};

class CommandExecutor {
 public:
  CommandExecutor();

  // Runs `execute` on the GPU's thread, and then `complete` on that of the handlers.
  void push(std::function<void()> execute, std::function<void()> complete);

 private:
  void pause_before(uint64_t number);

  const uint64_t index_;       // Of the queue, in order of creation.
  uint64_t executed_ = 0;      // The GPU thread's.
  Worker gpu_, handlers_;
};

}  // namespace simulated
