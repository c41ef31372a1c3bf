// Serial queues. A block of dispatch_sync runs on the calling thread, or on the queue's own (blocks=elsewhere): libdispatch
// promises neither. What a thread is on is a chain, which a block takes along to the thread that runs it: a queue that is in it
// already is a deadlock, and libdispatch ends the process then.
#include <dispatch/dispatch.h>

#include <Block.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "executor.h"
#include "options.h"
#include "runtime/assertions.h"

namespace {

// Whatever is counted by dispatch_retain and dispatch_release, which take any of libdispatch's objects.
struct Object {
  std::atomic<int> owners{1};
  virtual ~Object() = default;
};

struct Frame {
  dispatch_queue_t queue;
  Frame* outer;
};

thread_local Frame* innermost = nullptr;

void trap_if_on(dispatch_queue_t queue) {
  for (Frame* frame = innermost; frame != nullptr; frame = frame->outer) {
    if (frame->queue == queue) mps_sim::dispatch_sync_deadlock();
  }
}

}  // namespace

struct simulated_dispatch_queue : Object {
  explicit simulated_dispatch_queue(const char* label) : label(label == nullptr ? "" : label) {}

  const std::string label;
  std::mutex turn;     // Held while a block runs.
  std::mutex mutex;    // Of `specifics`.
  std::map<const void*, void*> specifics;
  simulated::Worker* const worker = new simulated::Worker;  // Never destroyed: its thread has no end.
};

struct simulated_dispatch_data : Object {
  std::string bytes;
};

namespace {

void run(dispatch_queue_t queue, const std::function<void()>& block) {
  std::lock_guard<std::mutex> guard(queue->turn);
  Frame frame{queue, innermost};
  innermost = &frame;
  block();
  innermost = frame.outer;
}

// On the queue's thread, with the caller's chain, while the caller waits.
void run_elsewhere(dispatch_queue_t queue, const std::function<void()>& block) {
  std::mutex mutex;
  std::condition_variable changed;
  bool is_done = false;
  Frame* outer = innermost;
  queue->worker->push([&] {
    innermost = outer;
    run(queue, block);
    innermost = nullptr;
    std::lock_guard<std::mutex> guard(mutex);
    is_done = true;
    changed.notify_one();
  });
  std::unique_lock<std::mutex> lock(mutex);
  changed.wait(lock, [&] { return is_done; });
}

void sync(dispatch_queue_t queue, const std::function<void()>& block) {
  trap_if_on(queue);
  if (simulated::options().blocks_elsewhere) {
    run_elsewhere(queue, block);
  } else {
    run(queue, block);
  }
}

}  // namespace

extern "C" {

dispatch_queue_t dispatch_queue_create(const char* label, dispatch_queue_attr_t attributes) {
  if (attributes != DISPATCH_QUEUE_SERIAL) mps_sim::not_simulated("dispatch_queue_create: a queue that is not serial");
  return new simulated_dispatch_queue(label);
}

dispatch_queue_t dispatch_get_main_queue(void) {
  static dispatch_queue_t const queue = new simulated_dispatch_queue("com.apple.main-thread");
  return queue;
}

dispatch_queue_t dispatch_get_global_queue(long priority, unsigned long) {
  static std::mutex* const mutex = new std::mutex;
  static auto* const queues = new std::map<long, dispatch_queue_t>;
  std::lock_guard<std::mutex> guard(*mutex);
  dispatch_queue_t& queue = (*queues)[priority];
  if (queue == nullptr) queue = new simulated_dispatch_queue("com.apple.root");
  return queue;
}

const char* dispatch_queue_get_label(dispatch_queue_t queue) { return queue->label.c_str(); }

void dispatch_retain(void* object) { static_cast<Object*>(object)->owners.fetch_add(1, std::memory_order_relaxed); }

void dispatch_release(void* object) {
  Object* counted = static_cast<Object*>(object);
  if (counted->owners.fetch_sub(1, std::memory_order_acq_rel) == 1) delete counted;
}

void dispatch_sync(dispatch_queue_t queue, dispatch_block_t block) {
  sync(queue, [block] { block(); });
}

void dispatch_sync_f(dispatch_queue_t queue, void* context, dispatch_function_t work) {
  sync(queue, [context, work] { work(context); });
}

void dispatch_async(dispatch_queue_t queue, dispatch_block_t block) {
  dispatch_block_t kept = Block_copy(block);
  dispatch_retain(queue);
  queue->worker->push([queue, kept] {
    run(queue, [kept] { kept(); });
    Block_release(kept);
    dispatch_release(queue);
  });
}

void dispatch_queue_set_specific(dispatch_queue_t queue, const void* key, void* context, dispatch_function_t) {
  std::lock_guard<std::mutex> guard(queue->mutex);
  queue->specifics[key] = context;
}

void* dispatch_queue_get_specific(dispatch_queue_t queue, const void* key) {
  std::lock_guard<std::mutex> guard(queue->mutex);
  auto found = queue->specifics.find(key);
  return found == queue->specifics.end() ? nullptr : found->second;
}

void* dispatch_get_specific(const void* key) {
  return innermost == nullptr ? nullptr : dispatch_queue_get_specific(innermost->queue, key);
}

dispatch_data_t dispatch_data_create(const void* buffer, size_t size, dispatch_queue_t, dispatch_block_t destructor) {
  auto* made = new simulated_dispatch_data;
  made->bytes.assign(static_cast<const char*>(buffer), size);
  if (destructor != DISPATCH_DATA_DESTRUCTOR_DEFAULT) destructor();  // The bytes were copied.
  return made;
}

dispatch_data_t dispatch_data_create_map(dispatch_data_t data, const void** buffer, size_t* size) {
  *buffer = data->bytes.data();
  *size = data->bytes.size();
  dispatch_retain(data);
  return data;
}

}  // extern "C"
