#include "executor.h"

#include <atomic>
#include <thread>
#include <utility>

#include "options.h"
#include "runtime/random.h"

extern "C" void* objc_autoreleasePoolPush(void);
extern "C" void objc_autoreleasePoolPop(void* pool);

namespace simulated {

Worker::Worker() { sem_init(&count_, 0, 0); }

void Worker::push(std::function<void()> work) {
  if (!is_started_.exchange(true, std::memory_order_relaxed)) std::thread([this] { run(); }).detach();
  auto* item = new Item{std::move(work), newest_.load(std::memory_order_relaxed)};
  while (!newest_.compare_exchange_weak(item->next, item, std::memory_order_release, std::memory_order_relaxed)) {
  }
  sem_post(&count_);
}

void Worker::run() {
  for (;;) {
    while (sem_wait(&count_) != 0) {  // Interrupted by a signal.
    }
    Item* oldest = nullptr;
    for (Item* item = newest_.exchange(nullptr, std::memory_order_acquire); item != nullptr;) {
      Item* next = item->next;
      item->next = oldest;
      oldest = item;
      item = next;
    }
    // Several at once: their posts are taken for nothing later.
    while (oldest != nullptr) {
      void* pool = objc_autoreleasePoolPush();
      oldest->work();
      Item* done = oldest;
      oldest = oldest->next;
      delete done;
      objc_autoreleasePoolPop(pool);
    }
  }
}

namespace {
uint64_t next_index() {
  static std::atomic<uint64_t> next{0};
  return next.fetch_add(1, std::memory_order_relaxed);
}
}  // namespace

CommandExecutor::CommandExecutor() : index_(next_index()) {}

void CommandExecutor::pause_before(uint64_t number) {
  Completion completion = options().completion;
  bool is_slow = completion == Completion::delayed || (completion == Completion::slow_queue && index_ % 2 == 0);
  if (is_slow) pause("command buffer", mps_sim::mix(index_, number));
}

void CommandExecutor::push(std::function<void()> execute, std::function<void()> complete) {
  gpu_.push([this, execute = std::move(execute), complete = std::move(complete)] {
    pause_before(executed_++);
    execute();
    handlers_.push(complete);
  });
}

}  // namespace simulated
