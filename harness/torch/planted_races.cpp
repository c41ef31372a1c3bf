// Planted races for a process under ThreadSanitizer, reached as any operator is: through torch's dispatcher. A run in which
// they are not reported proves nothing, whatever the reason: a suppression that matches the dispatcher's frames, too
// little history, kernels that announce nothing.
#include "announce.h"

#ifdef MPS_SIM_TSAN

#include <torch/library.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

#include "launch.h"
#include "planted_races.h"

extern "C" {
int mps_race_canary = 0;
int mps_race_canary_history = 0;
int mps_race_guarded = 0;
}

namespace mps_sim {

namespace {

constexpr int kCallsBetween = 100'000;  // The runtime forgets after 30'000 to 100'000 with its default history.
constexpr auto kPatience = std::chrono::seconds(20);

// Orders two threads in time and not for ThreadSanitizer: relaxed, so that nothing of one happens before anything of the
// other. Of two accesses at the very same moment the runtime sees neither now and then (a canary of a run in CI was lost that
// way), so one access follows the other.
class Rendezvous {
 public:
  void meet() {
    arrived_.fetch_add(1, std::memory_order_relaxed);
    wait_for(arrived_, 2);
  }

  template <typename Access>
  void in_turn(Access access) {
    const int turn = arrived_.fetch_add(1, std::memory_order_relaxed);
    wait_for(arrived_, 2);
    wait_for(passed_, turn);
    access();
    passed_.fetch_add(1, std::memory_order_relaxed);
  }

 private:
  static void wait_for(const std::atomic<int>& count, int enough) {
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (count.load(std::memory_order_relaxed) < enough && std::chrono::steady_clock::now() < until) {
      std::this_thread::yield();
    }
  }

  std::atomic<int> arrived_{0};
  std::atomic<int> passed_{0};
};

[[gnu::noinline]] void step_of_history(volatile int& steps) { steps = steps + 1; }

// Two threads call it, as the first and the second: they race for a variable, and for `memory` on the device, each with a kernel
// on a stream of its own, or, where the device has one stream, the first with a kernel and the second on the host.
void canary(const at::Tensor& memory, int64_t which) {
  static Rendezvous threads, accesses;
  static constexpr const char* kName = "mps_race_canary_kernel";
  threads.in_turn([&] { mps_race_canary = static_cast<int>(which); });
  auto access = [layout = layout_of(memory), range = memory_of(memory)] {
    accesses.in_turn([&] { announce_write(layout, range); });
  };
  const std::optional<StreamId> id = planted_stream(which);
  if (!id) {
    MPS_SIM_CALL_FRAME(kName);
    access();
    return;
  }
  enqueue(*id, kName, access);
  translated([&] { commit(*id); });
}

// The first caller's access lies far back when the second one's comes.
void canary_history(const at::Tensor&, bool is_first) {
  static Rendezvous both;
  if (is_first) {
    mps_race_canary_history = 1;
    volatile int steps = 0;
    for (int call = 0; call < kCallsBetween; ++call) step_of_history(steps);
  }
  both.meet();
  if (!is_first) mps_race_canary_history = 2;
}

// As `canary`, and right.
void guarded(const at::Tensor& memory, int64_t which) {
  static Rendezvous threads;
  static std::mutex mutex;
  threads.meet();
  const StreamId id = planted_stream(1).value();
  {
    std::lock_guard<std::mutex> guard(mutex);
    mps_race_guarded = static_cast<int>(which);
    enqueue(id, "mps_race_guarded_kernel", [layout = layout_of(memory), range = memory_of(memory)] {
      announce_write(layout, range);
    });
  }
  translated([&] { commit(id); });
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mps_stress_sim, library) {
  library.def("tsan_canary(Tensor memory, int which) -> ()");
  library.def("tsan_canary_history(Tensor memory, bool is_first) -> ()");
  library.def("tsan_guarded(Tensor memory, int which) -> ()");
  library.def("tsan_step(int thread, int iteration) -> ()",
              [](int64_t thread, int64_t iteration) { note_step({static_cast<int>(thread), iteration}); });
}

TORCH_LIBRARY_IMPL(mps_stress_sim, MPS_SIM_KEY, library) {
  library.impl("tsan_canary", TORCH_FN(canary));
  library.impl("tsan_canary_history", TORCH_FN(canary_history));
  library.impl("tsan_guarded", TORCH_FN(guarded));
}

}  // namespace mps_sim

#endif
