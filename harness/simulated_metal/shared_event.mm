// Shared events. A listener's blocks run on the listener's own queue: with one thread for all listeners, races between two of
// them could not be seen. Whoever sees a value comes after its signal; threads that ask for the value, or for a notification,
// are not ordered by that (executor.h says why), so there is no mutex around them.
#include <Block.h>

#include <utility>

#include "objects.h"
#include "options.h"

namespace {

struct Waiting {
  uint64_t value;
  MTLSharedEventListener* listener;
  MTLSharedEventNotificationBlock block;
  Waiting* next;
};

struct State {
  std::atomic<uint64_t> value{0};
  std::atomic<Waiting*> newest{nullptr};
  std::atomic<uint64_t> calls{0};
  std::mutex mutex;  // Of the GPUs that wait, with the condition.
  std::condition_variable signaled;
};

State& state_of(SimulatedSharedEvent* event) { return *static_cast<State*>(event->state_); }

void call(SimulatedSharedEvent* event, Waiting* one, uint64_t value, uint64_t number) {
  MTLSharedEventListener* listener = one->listener;
  MTLSharedEventNotificationBlock block = one->block;
  delete one;
  [event retain];
  dispatch_async([listener dispatchQueue], ^{
    if (simulated::options().completion == simulated::Completion::late_listener) simulated::pause("listener", number);
    block(event, value);
    Block_release(block);
    [listener release];
    [event release];
  });
}

void push(State& state, Waiting* one) {
  one->next = state.newest.load(std::memory_order_relaxed);
  while (!state.newest.compare_exchange_weak(one->next, one, std::memory_order_seq_cst, std::memory_order_relaxed)) {
  }
}

// Calls what is due, in order of arrival, and keeps the rest.
void notify(SimulatedSharedEvent* event, State& state, uint64_t value) {
  Waiting* oldest = nullptr;
  for (Waiting* one = state.newest.exchange(nullptr, std::memory_order_seq_cst); one != nullptr;) {
    Waiting* next = one->next;
    one->next = oldest;
    oldest = one;
    one = next;
  }
  while (oldest != nullptr) {
    Waiting* one = oldest;
    oldest = oldest->next;
    if (one->value <= value) {
      call(event, one, value, state.calls.fetch_add(1, std::memory_order_relaxed));
    } else {
      push(state, one);
    }
  }
}

}  // namespace

@implementation SimulatedSharedEvent

- (id)init {
  state_ = new State;
  return self;
}

- (void)dealloc {
  for (Waiting* one = state_of(self).newest.load(); one != nullptr;) {
    Waiting* next = one->next;
    Block_release(one->block);
    [one->listener release];
    delete one;
    one = next;
  }
  delete &state_of(self);
  [super dealloc];
}

- (uint64_t)signaledValue {
  return state_of(self).value.load(std::memory_order_acquire);
}

- (void)setSignaledValue:(uint64_t)value {
  [self signal:value];
}

- (void)signal:(uint64_t)value {
  State& state = state_of(self);
  {
    std::lock_guard<std::mutex> guard(state.mutex);
    state.value.store(value, std::memory_order_seq_cst);
    state.signaled.notify_all();
  }
  notify(self, state, value);
}

- (void)waitFor:(uint64_t)value {
  State& state = state_of(self);
  std::unique_lock<std::mutex> lock(state.mutex);
  state.signaled.wait(lock, [&] { return state.value.load(std::memory_order_acquire) >= value; });
}

- (void)notifyListener:(MTLSharedEventListener*)listener atValue:(uint64_t)value block:(MTLSharedEventNotificationBlock)block {
  State& state = state_of(self);
  push(state, new Waiting{value, [listener retain], Block_copy(block), nullptr});
  // A signal between the caller's look at the value and the push has not seen it.
  uint64_t now = state.value.load(std::memory_order_seq_cst);
  if (now >= value) notify(self, state, now);
}

@end

@implementation MTLSharedEventListener

- (id)init {
  _queue = dispatch_queue_create("com.apple.metal.shared_event_listener", DISPATCH_QUEUE_SERIAL);
  return self;
}

- (instancetype)initWithDispatchQueue:(dispatch_queue_t)queue {
  dispatch_retain(queue);
  _queue = queue;
  return self;
}

- (void)dealloc {
  dispatch_release(_queue);
  [super dealloc];
}

- (dispatch_queue_t)dispatchQueue {
  return _queue;
}

@end
