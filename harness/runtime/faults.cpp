// When a fault strikes. Each thread draws its own lots, from the seed and its number: no lock is taken, and they repeat.
// The twin draws the same lots and then takes the safe path: it must find nothing. A fault strikes only while two threads
// use the device, so that one thread alone, the reference and the control, is right.
#include "faults.h"

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "options.h"
#include "random.h"
#include "schedule.h"
#include "thread_state.h"

namespace mps_sim {

namespace {

constexpr int kCount = static_cast<int>(Fault::count);
// Shorter windows spin, since a sleep takes 60 us whatever is asked; spinning for longer would keep the other threads out.
constexpr int kSleepingWindowUs = 1000;
static_assert(kCount <= 64, "the armed faults are kept in one word");

const char* const kNames[] = {
#define MPS_SIM_FAULT_NAME(name) #name,
    MPS_SIM_FAULTS(MPS_SIM_FAULT_NAME)
#undef MPS_SIM_FAULT_NAME
};

struct Switch {
  double probability = 0;
  int window_us = 0;
  bool is_twin = false;
  std::atomic<uint64_t> count{0};
};

Switch switches[kCount];
std::atomic<uint64_t> armed{0};
std::atomic<uint64_t> epoch{0};
std::atomic<int> users{0};

uint64_t bit(Fault fault) { return 1ULL << static_cast<int>(fault); }
Switch& switch_of(Fault fault) { return switches[static_cast<int>(fault)]; }

// At exit the other threads have ended.
bool needs_second_thread(Fault fault) {
  return fault != Fault::exit_static_destruction;
}

double draw_lot() {
  if (ThreadState* thread = this_thread()) return thread->lots.uniform();
  // The thread is being torn down. The main thread is, when exit handlers run.
  static std::atomic<uint64_t> drawn{0};
  return Random(mix(options().seed, ~drawn.fetch_add(1))).uniform();
}

}  // namespace

bool is_armed(Fault fault) { return (armed.load(std::memory_order_relaxed) & bit(fault)) != 0; }

bool is_twin(Fault fault) { return is_armed(fault) && switch_of(fault).is_twin; }

bool strikes(Fault fault) {
  if (!is_armed(fault)) return false;
  if (needs_second_thread(fault) && threads_in_use() < 2) return false;
  Switch& one = switch_of(fault);
  if (draw_lot() >= one.probability) return false;
  one.count.fetch_add(1, std::memory_order_relaxed);
  return !one.is_twin;
}

void window(Fault fault) {
  if (!schedule_is_free()) {
    schedule_yield();
    return;
  }
  int window_us = switch_of(fault).window_us;
  ThreadState* thread = this_thread();
  if (window_us <= 0 || thread == nullptr) return;
  auto pause = std::chrono::microseconds(thread->lots.below(static_cast<uint64_t>(window_us)) + 1);
  if (window_us >= kSleepingWindowUs) {
    std::this_thread::sleep_for(pause);
    return;
  }
  auto until = std::chrono::steady_clock::now() + pause;
  while (std::chrono::steady_clock::now() < until) {
  }
}

std::vector<std::string> fault_names() { return {std::begin(kNames), std::end(kNames)}; }

Fault fault_by_name(const std::string& name) {
  std::string known;
  for (int index = 0; index < kCount; ++index) {
    if (name == kNames[index]) return static_cast<Fault>(index);
    known += std::string(index ? ", " : "") + kNames[index];
  }
  throw std::invalid_argument("simulated device: unknown fault '" + name + "': choose from " + known);
}

void arm_fault(Fault fault, double probability, int window_us, bool twin) {
  Switch& one = switch_of(fault);
  one.probability = probability;
  one.window_us = window_us;
  one.is_twin = twin;
  one.count = 0;
  armed.fetch_or(bit(fault));
}

void disarm_faults() { armed = 0; }

void seed_faults(uint64_t) {
  if (ThreadState* thread = this_thread()) thread->reseed(thread->ordinal);  // Others are seeded when they first come.
}

uint64_t fault_count(Fault fault) { return switch_of(fault).count.load(); }

void note_thread_uses_device() {
  ThreadState* thread = this_thread();
  if (thread == nullptr || thread->is_autograd) return;
  uint64_t now = epoch.load(std::memory_order_relaxed);
  if (thread->epoch_used == now) return;
  thread->epoch_used = now;
  users.fetch_add(1, std::memory_order_relaxed);
}

void note_device_idle() {
  epoch.fetch_add(1, std::memory_order_relaxed);
  users.store(0, std::memory_order_relaxed);
}

int threads_in_use() { return users.load(std::memory_order_relaxed); }

}  // namespace mps_sim
