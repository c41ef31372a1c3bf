// The turn, and who gets it next. Whoever gives the turn up runs the streams until a thread is picked; the work itself is
// done by one executor thread, with the mutex released. A turn that is kept for 250 ms is taken away: its thread waits
// for a lock that the next thread may hold, and the run says that it is not replayable rather than hang.
#include "schedule.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "device.h"
#include "gil.h"
#include "options.h"
#include "random.h"
#include "thread_state.h"

namespace mps_sim {

namespace {

using Clock = std::chrono::steady_clock;
using Guard = std::unique_lock<std::mutex>;

constexpr auto kAwayAfter = std::chrono::milliseconds(250);  // Without a turn handed back: the thread waits elsewhere.
constexpr auto kLookAgain = std::chrono::milliseconds(20);

struct Participant {
  int index;
  enum { running, waiting, away } state = waiting;
  const std::function<bool()>* ready = nullptr;  // Null: ready at once.
  int64_t priority = 0;
};

class Schedule {
 public:
  void attach(int index, int count) {
    GilRelease without_gil;
    Guard guard(mutex_);
    self_ = new Participant{index};
    crew_.push_back(self_);
    if (ThreadState* thread = this_thread()) thread->reseed(1000 + index);
    if (static_cast<int>(crew_.size()) == count) begin_section();
    wait_for_turn(guard);
  }

  void detach() {
    if (self_ == nullptr) return;
    GilRelease without_gil;
    Guard guard(mutex_);
    crew_.erase(std::remove(crew_.begin(), crew_.end(), self_), crew_.end());
    bool had_turn = turn_ == self_;
    delete self_;
    self_ = nullptr;
    if (crew_.empty()) is_section_ = false;
    if (had_turn) hand_over(guard);
  }

  void yield() {
    if (self_ != nullptr) give_way(nullptr);
  }

  void wait(const std::function<bool()>& ready) {
    if (self_ != nullptr) {
      give_way(&ready);
    } else {
      drive(ready);
    }
  }

  void serve(RunnableStreams streams) {
    Guard guard(mutex_);
    streams_ = std::move(streams);
  }

  void note_ran(int stream, const char* name) {
    uint64_t hash = mix(order_.load(), static_cast<uint64_t>(stream));
    for (const char* letter = name; *letter; ++letter) hash = mix(hash, static_cast<unsigned char>(*letter));
    order_.store(hash);
  }

  uint64_t order() const { return order_.load(); }

  std::string not_replayable() {
    Guard guard(mutex_);
    return why_not_;
  }

 private:
  void begin_section() {
    is_section_ = true;
    random_ = Random(mix(options().schedule_seed, ++sections_));
    std::sort(crew_.begin(), crew_.end(), [](auto* a, auto* b) { return a->index < b->index; });
    stream_priority_.assign(static_cast<size_t>(streams_.count ? streams_.count() : 0), 0);
    int64_t base = options().schedule_depth;  // Priorities below are for the changes.
    for (auto* one : crew_) one->priority = base + static_cast<int64_t>(random_.next() >> 2);
    for (auto& one : stream_priority_) one = base + static_cast<int64_t>(random_.next() >> 2);
    step_ = 0;
    changes_.clear();
    for (int change = 1; change < options().schedule_depth; ++change) {
      changes_.push_back(random_.below(static_cast<uint64_t>(options().schedule_steps)) + 1);
    }
    turn_ = nullptr;
  }

  void give_way(const std::function<bool()>* ready) {
    GilRelease without_gil;
    Guard guard(mutex_);
    self_->ready = ready;
    self_->state = Participant::waiting;
    if (turn_ == self_) hand_over(guard);
    wait_for_turn(guard);
  }

  void wait_for_turn(Guard& guard) {
    while (turn_ != self_) {
      changed_.wait_for(guard, kLookAgain);
      if (turn_ == self_ || is_picking_ || !is_section_) continue;
      if (turn_ == nullptr) {
        hand_over(guard);
      } else if (turn_->state == Participant::running && Clock::now() - turn_since_ > kAwayAfter) {
        why_not_ = "thread " + std::to_string(turn_->index) +
                   " did not come back to the device while it had the turn: it waits for something else, such as a lock";
        turn_->state = Participant::away;
        hand_over(guard);
      }
    }
    self_->state = Participant::running;
    self_->ready = nullptr;
    turn_since_ = Clock::now();
  }

  // Runs streams until a thread is picked. Called with the turn, or when nobody has it.
  void hand_over(Guard& guard) {
    is_picking_ = true;
    turn_ = nullptr;
    while (true) {
      Pick pick = choose();
      if (pick.stream >= 0) {
        run_stream(guard, pick.stream);
        continue;
      }
      turn_ = pick.thread;
      if (turn_ != nullptr) turn_since_ = Clock::now();
      break;
    }
    is_picking_ = false;
    changed_.notify_all();
  }

  struct Pick {
    Participant* thread = nullptr;
    int stream = -1;
  };

  Pick choose() {
    std::vector<std::pair<Pick, int64_t*>> candidates;
    for (auto* one : crew_) {
      if (one->state == Participant::waiting && (one->ready == nullptr || (*one->ready)())) {
        candidates.push_back({Pick{one, -1}, &one->priority});
      }
    }
    for (int stream = 0; stream < static_cast<int>(stream_priority_.size()); ++stream) {
      if (streams_.is_runnable(stream)) {
        candidates.push_back({Pick{nullptr, stream}, &stream_priority_[static_cast<size_t>(stream)]});
      }
    }
    if (candidates.empty()) return {};
    ++step_;
    if (options().schedule == ScheduleKind::random) return candidates[random_.below(candidates.size())].first;
    auto highest = [&] {
      return std::max_element(candidates.begin(), candidates.end(),
                              [](const auto& a, const auto& b) { return *a.second < *b.second; });
    };
    auto change = std::find(changes_.begin(), changes_.end(), step_);
    if (change != changes_.end()) *highest()->second = change - changes_.begin();
    return highest()->first;
  }

  // For a thread outside the crew: runs the streams, in seeded order, until what it waits for has come.
  void drive(const std::function<bool()>& ready) {
    GilRelease without_gil;
    Guard guard(mutex_);
    ThreadState* thread = this_thread();
    if (is_section_ && thread != nullptr && !thread->is_autograd) {
      why_not_ = "a thread outside the crew waited for the device while the crew used it";
    }
    while (!ready()) {
      std::vector<int> runnable;
      for (int stream = 0; streams_.count && stream < streams_.count(); ++stream) {
        if (streams_.is_runnable(stream)) runnable.push_back(stream);
      }
      if (runnable.empty()) {
        changed_.wait_for(guard, kLookAgain);
      } else {
        run_stream(guard, runnable[random_.below(runnable.size())]);
      }
    }
  }

  void run_stream(Guard& guard, int stream) {
    if (!has_executor_) {
      has_executor_ = true;
      std::thread([this] { execute(); }).detach();
    }
    while (requested_ >= 0) changed_.wait(guard);
    if (!streams_.is_runnable(stream)) return;  // Another thread had it run meanwhile.
    requested_ = stream;
    changed_.notify_all();
    while (requested_ == stream && !is_done_) changed_.wait(guard);
    is_done_ = false;
    requested_ = -1;
    changed_.notify_all();
  }

  void execute() {
    Guard guard(mutex_);
    while (true) {
      while (requested_ < 0 || is_done_) changed_.wait(guard);
      int stream = requested_;
      guard.unlock();
      streams_.run_one(stream);
      guard.lock();
      is_done_ = true;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Participant*> crew_;
  Participant* turn_ = nullptr;
  Clock::time_point turn_since_;
  bool is_section_ = false, is_picking_ = false, has_executor_ = false, is_done_ = false;
  int requested_ = -1;
  uint64_t sections_ = 0, step_ = 0;
  Random random_{0};
  std::vector<int64_t> stream_priority_;
  std::vector<uint64_t> changes_;
  RunnableStreams streams_;
  std::string why_not_;
  std::atomic<uint64_t> order_{0};
  static thread_local Participant* self_;
};

thread_local Participant* Schedule::self_ = nullptr;

Schedule& the_schedule() {
  static Schedule* const one = new Schedule;  // Never destroyed: threads use it until the process has ended.
  return *one;
}

}  // namespace

bool schedule_is_free() { return options().schedule == ScheduleKind::free; }

void schedule_yield() {
  if (!schedule_is_free()) the_schedule().yield();
}

void schedule_wait(const std::function<bool()>& ready) { the_schedule().wait(ready); }
void schedule_serve(RunnableStreams streams) { the_schedule().serve(std::move(streams)); }
void note_ran(int stream, const char* name) { the_schedule().note_ran(stream, name); }

void schedule_attach(int index, int count) {
  check_not_forked();
  if (!schedule_is_free()) the_schedule().attach(index, count);
}

void schedule_detach() { the_schedule().detach(); }
std::string schedule_not_replayable() { return the_schedule().not_replayable(); }
uint64_t device_order() { return the_schedule().order(); }

}  // namespace mps_sim
