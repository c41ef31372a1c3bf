// The crew and its watchdog. Nothing between the start and a thread's first access may lock: see crew.h. That no
// operation has ended is not enough to call the crew stuck, since a slow machine looks the same: it must have used no CPU
// time either, or have ended nothing for several times as long. Then the process ends at once, past every handler.
#include "crew.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

#include <atomic>
#include <chrono>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "backend.h"
#include "invariants.h"

namespace harness {

namespace {

constexpr int kLooksPerStall = 20;
constexpr int kFruitlessStalls = 4;
constexpr double kIdleCpuShare = 0.05;  // The watchdog's own looks cost far less.
constexpr int kUnavailable = 4;

std::atomic<uint64_t> operations{0};
std::atomic<bool> is_watched{false};
std::atomic<bool> is_unavailable{false};
std::atomic<void (*)()> say_last_words{nullptr};

void name_thread(int index) {
  std::string name = "mps-worker-" + std::to_string(index);
#ifdef __APPLE__
  pthread_setname_np(name.c_str());
#else
  pthread_setname_np(pthread_self(), name.c_str());
#endif
}

// Past every handler: ThreadSanitizer's own _exit waits for its locks, and it has been seen to stand still inside the
// report of a segmentation fault, with the reports before it already written.
[[noreturn]] void end_at_once(int status) {
  if (auto* words = say_last_words.load()) words();
#ifdef __linux__
  syscall(SYS_exit_group, status);
#endif
  _exit(status);
}

// Of the children that live: ThreadSanitizer waits for its symbolizer, which may read for seconds in a large library.
double cpu_seconds_of_children() {
  double seconds = 0;
#ifdef __linux__
  std::error_code ignored;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task", ignored)) {
    std::ifstream children(thread.path() / "children");
    for (std::string child; children >> child;) {
      std::ifstream file("/proc/" + child + "/stat");
      std::string text(std::istreambuf_iterator<char>(file), {});
      size_t name_end = text.rfind(')');
      if (name_end == std::string::npos) continue;
      // After the name: state, and then numbers; the 12th and 13th field are ticks in user and in system mode.
      std::istringstream fields(text.substr(name_end + 2));
      std::string skipped;
      for (int field = 0; field < 11; ++field) fields >> skipped;
      unsigned long user = 0, system = 0;
      fields >> user >> system;
      seconds += static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
    }
  }
#endif
  return seconds;
}

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec); };
  return seconds(used.ru_utime) + seconds(used.ru_stime) + cpu_seconds_of_children();
}

}  // namespace

uint8_t Worker::byte(int iteration) const {
  // 1 to 251: never 0, which fresh memory holds, and a prime, so that neighbours in time and index differ.
  return static_cast<uint8_t>(1 + (index_ * 31 + iteration * 7) % 251);
}

void Worker::done() { operations.fetch_add(1, std::memory_order_relaxed); }

void Rendezvous::arrive() {
  __atomic_fetch_add(&arrived_, 1, __ATOMIC_RELAXED);
  while (__atomic_load_n(&arrived_, __ATOMIC_RELAXED) < count_) std::this_thread::yield();
}

void run_crew(const Settings& settings, int threads, const std::function<void(Worker&)>& body,
              const std::function<void()>& beside) {
  Rendezvous start(threads);
  std::vector<std::thread> crew;
  for (int index = 0; index < threads; ++index) {
    crew.emplace_back([&, index] {
      name_thread(index);
      Worker worker(index, threads, mps_sim::mix(settings.seed, static_cast<uint64_t>(index)));
      start.arrive();
      std::string error = error_of([&] { body(worker); });
      if (!error.empty()) violation("exception", "thread " + std::to_string(index) + ": " + error);
    });
  }
  if (beside) {
    std::string error = error_of(beside);
    if (!error.empty()) violation("exception", "main thread: " + error);
  }
  for (std::thread& one : crew) one.join();
}

uint64_t operations_done() { return operations.load(std::memory_order_relaxed); }

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const backend::Unavailable& missing) {
    end_unavailable(missing.what());
  } catch (const std::exception& error) {
    return *error.what() != '\0' ? error.what() : "an exception without a text";
  }
  return "";
}

void end_unavailable(const std::string& function) {
  while (is_unavailable.exchange(true)) pause();  // Another thread is ending the process.
  is_watched.store(false, std::memory_order_relaxed);
  print_line("{\"kind\":\"unavailable\",\"function\":" + json_text(function) + "}");
  end_at_once(violation_count() > 0 ? 1 : kUnavailable);
}

void start_watchdog(double stall_s, void (*last_words)()) {
  say_last_words.store(last_words);
  is_watched.store(true, std::memory_order_relaxed);
  std::thread([stall_s] {
    uint64_t seen = operations_done();
    double cpu = cpu_seconds();
    int still = 0, fruitless = 0;
    while (true) {
      std::this_thread::sleep_for(std::chrono::duration<double>(stall_s / kLooksPerStall));
      if (!is_watched.load(std::memory_order_relaxed)) return;
      uint64_t now = operations_done();
      double used = cpu_seconds();
      // A machine that is merely slow still uses CPU time for us; a deadlock does not.
      bool is_still = now == seen && used - cpu < kIdleCpuShare * stall_s / kLooksPerStall;
      still = is_still ? still + 1 : 0;
      fruitless = now == seen ? fruitless + 1 : 0;
      seen = now;
      cpu = used;
      if (still < kLooksPerStall && fruitless < kFruitlessStalls * kLooksPerStall) continue;
      violation("progress", still < kLooksPerStall ? "threads are busy, but no operation has ended for a long time"
                                                   : "no operation ended and no CPU time was used: the crew stands still");
      end_at_once(1);
    }
  }).detach();
}

void stop_watchdog() { is_watched.store(false, std::memory_order_relaxed); }

}  // namespace harness
