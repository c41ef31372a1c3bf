// State per thread, made at first use. Thread-local objects are destroyed in an order that nobody controls, and tensors
// may be freed after this one: from then on `this_thread()` is null, and every caller has a path without a state.
#include "thread_state.h"

#include <pthread.h>
#include <sys/types.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#else
#include <pthread.h>
#endif

#include <cstring>

#include "faults.h"
#include "graph_cache.h"
#include "options.h"
#include "pool.h"

namespace mps_sim {

namespace {

std::atomic<int> ordinals{0};

bool calling_thread_is_main() {
#ifdef __linux__
  return static_cast<pid_t>(syscall(SYS_gettid)) == getpid();
#else
  return pthread_main_np() != 0;
#endif
}

bool calling_thread_is_autograd() {
  char name[64] = "";
  pthread_getname_np(pthread_self(), name, sizeof name);
  return std::strncmp(name, "pt_autograd", 11) == 0;
}

// Outlives the state: thread-local objects destroyed later may still free tensors.
thread_local bool torn_down = false;

struct Holder {
  std::unique_ptr<ThreadState> state;
  ~Holder() {
    if (state != nullptr) state->end();  // Before: a fault strikes in threads that have their state.
    torn_down = true;
    state.reset();
  }
};

}  // namespace

ThreadState::ThreadState()
    : ordinal(ordinals.fetch_add(1)),
      is_main(calling_thread_is_main()),
      is_autograd(calling_thread_is_autograd()),
      lots(mix(options().seed, static_cast<uint64_t>(ordinal))),
      is_alive(std::make_shared<std::atomic<bool>>(true)) {}

ThreadState::~ThreadState() = default;

void ThreadState::end() {
  is_alive->store(false);
  release_slot_at_exit(*this);
  if (graphs != nullptr) graphs->end_of_thread();
}

void ThreadState::reseed(int new_ordinal) {
  ordinal = new_ordinal;
  lots = Random(mix(options().seed, static_cast<uint64_t>(new_ordinal)));
}

ThreadState* this_thread() {
  if (torn_down) return nullptr;
  thread_local Holder holder;
  if (holder.state == nullptr) holder.state = std::make_unique<ThreadState>();
  return holder.state.get();
}

}  // namespace mps_sim
