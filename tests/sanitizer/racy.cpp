// One small case per type of ThreadSanitizer's reports: `racy CASE...`. Every report here is wanted.
//
// `tests/sanitizer/record.py` records what clang-14, clang-19 and g++-12 print; test_parser_live.py compiles it with the
// hook of harness/native/uninstrumented/on_report.cpp and compares both routes. Threads meet by relaxed atomics, which
// order nothing, so that a race is certain and none of it is hidden.

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <string>
#include <thread>

#define NOINLINE __attribute__((noinline))

extern "C" {
void* __tsan_external_register_tag(const char* object_type);
void __tsan_external_assign_tag(void* address, void* tag);
void __tsan_external_write(void* address, void* caller_pc, void* tag);
void __tsan_external_read(void* address, void* caller_pc, void* tag);
void __tsan_mutex_create(void* address, unsigned flags);
void __tsan_mutex_pre_lock(void* address, unsigned flags);
void __tsan_mutex_post_lock(void* address, unsigned flags, int recursion);
int __tsan_mutex_pre_unlock(void* address, unsigned flags);
void __tsan_mutex_post_unlock(void* address, unsigned flags);
void __tsan_mutex_destroy(void* address, unsigned flags);
}

#ifdef LINES_SHIFTED
#line 1000
#endif

namespace {

std::atomic<int> turn{0};

using Body = void (*)(void*);

struct Job {
  Body body;
  void* argument;
  bool first;
};

void* run(void* job_of_thread) {
  Job* job = static_cast<Job*>(job_of_thread);
  while (!job->first && turn.load(std::memory_order_relaxed) != 1) {
  }
  job->body(job->argument);
  turn.store(job->first ? 1 : 2, std::memory_order_relaxed);
  while (turn.load(std::memory_order_relaxed) != 2) {
  }
  return nullptr;
}

// Runs `first` on one thread, then `second` on another, without an order that the sanitizer could see. Plain threads,
// because std::thread adds seven frames to every stack.
NOINLINE void in_turn(Body first, Body second, void* argument = nullptr) {
  turn.store(0, std::memory_order_relaxed);
  Job jobs[] = {{first, argument, true}, {second, argument, false}};
  pthread_t threads[2];
  for (int index = 0; index < 2; ++index) pthread_create(&threads[index], nullptr, run, &jobs[index]);
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
}

volatile long sink;  // What is read must not be optimised away.
int counter;
int table[4];
thread_local int of_thread;

NOINLINE void add(int* value) { ++*value; }
NOINLINE void store(int* value) { *value = 7; }
NOINLINE int load(const int* value) { return *value; }

class RoundRobin {
 public:
  NOINLINE int next(int streams) { return counter_++ % streams; }

 private:
  int counter_ = 0;
};

template <class Value>
class Pool {
 public:
  NOINLINE void put(Value value) { free_ = value; }
  NOINLINE Value take() const { return free_; }
  NOINLINE bool operator<(const Pool& other) const { return free_ < other.free_; }

 private:
  Value free_{};
};

struct Stream {
  Stream() : id(1) {}
  NOINLINE virtual ~Stream() { gone(); }
  NOINLINE virtual int depth() { return 1; }
  NOINLINE void gone() {}
  int id;
};

struct WorkerStream : Stream {
  NOINLINE int depth() override { return 2; }
};

NOINLINE int use(Stream* stream) { return stream->depth(); }
NOINLINE int peek(Stream* stream) { return stream->id; }
NOINLINE void drop(Stream* stream) { delete stream; }

// --- data races

void add_to_counter(void*) { add(&counter); }
void add_to(void* value) { add(static_cast<int*>(value)); }

void race_global() { in_turn(add_to_counter, add_to_counter); }

void race_element() {
  in_turn([](void*) { store(&table[1]); }, [](void*) { add(&table[1]); });
}

void race_heap() {
  int* block = new int[4]();
  in_turn(add_to, add_to, block + 1);
  delete[] block;
}

void race_stack() {
  int local = 0;
  in_turn(add_to, add_to, &local);
}

void race_tls() { in_turn(add_to, add_to, &of_thread); }

void next_stream(void* robin) { static_cast<RoundRobin*>(robin)->next(31); }

void race_method() {
  RoundRobin robin;
  in_turn(next_stream, next_stream, &robin);
}

void put_one(void* pool) { static_cast<Pool<long>*>(pool)->put(3); }
void take_one(void* pool) { sink = static_cast<Pool<long>*>(pool)->take(); }

void race_template() {
  Pool<long> pool;
  in_turn(put_one, take_one, &pool);
}

void race_template_swapped() {
  Pool<long> pool;
  in_turn(take_one, put_one, &pool);
}

void race_operator() {
  Pool<long> pool;
  in_turn([](void* one) { sink = *static_cast<Pool<long>*>(one) < Pool<long>(); }, put_one, &pool);
}

void race_lambda() {
  in_turn([](void*) { counter = 1; }, [](void*) { counter = 2; });
}

void race_thread() {
  std::thread one([] { counter = 1; });
  counter = 2;
  one.join();
}

std::mutex left, right;
pthread_rwlock_t shared = PTHREAD_RWLOCK_INITIALIZER;

void store_under_left(void*) {
  std::lock_guard<std::mutex> guard(left);
  store(&counter);
}

void race_one_locked() {
  in_turn(store_under_left, [](void*) { sink = load(&counter); });
}

void race_two_locks() {
  in_turn(
      [](void*) {
        pthread_rwlock_rdlock(&shared);
        store_under_left(nullptr);
        pthread_rwlock_unlock(&shared);
      },
      [](void*) {
        std::lock_guard<std::mutex> guard(right);
        sink = load(&counter);
      });
}

std::atomic<int> flag{0};

void race_atomic() {
  in_turn([](void*) { store(reinterpret_cast<int*>(&flag)); },
          [](void*) { flag.fetch_add(1, std::memory_order_relaxed); });
}

char to[64], from[64];

void* (*volatile copy)(void*, const void*, size_t) = memcpy;

NOINLINE void fill(size_t bytes) { copy(to, from, bytes); }
NOINLINE void touch() { to[5] = 1; }

void race_memcpy() {
  in_turn([](void*) { fill(sizeof to); }, [](void*) { touch(); });
  sink = to[6];
}

NOINLINE void remember(void* cache) {
  (*static_cast<std::map<int, int>*>(cache))[turn.load(std::memory_order_relaxed)] = 2;
}

void race_map() {
  std::map<int, int> cache{{3, 4}};
  in_turn(remember, remember, &cache);
}

NOINLINE void descend(int depth, int* value) {
  if (depth == 0) return add(value);
  descend(depth - 1, value);
  __asm__ volatile("");  // No tail call.
}

void race_recursion() {
  in_turn([](void*) { descend(5, &counter); }, [](void*) { descend(3, &counter); });
}

inline __attribute__((always_inline)) void inlined_add(int* value) { *value += 1; }

NOINLINE void outer_add(void* value) {
  inlined_add(static_cast<int*>(value));
  __asm__ volatile("");
}

void race_inlined() { in_turn(outer_add, outer_add, &counter); }

void race_named() {
  auto named = [](void*) {
    pthread_setname_np(pthread_self(), turn.load(std::memory_order_relaxed) == 0 ? "mps-worker-0" : "mps (worker) '1");
    add(&counter);
  };
  in_turn(named, named);
}

void race_sleep() {
  pthread_t thread;
  pthread_create(&thread, nullptr, [](void*) -> void* { return add(&counter), nullptr; }, nullptr);
  usleep(20000);
  add(&counter);
  pthread_join(thread, nullptr);
}

NOINLINE void write_to(void* file) { (void)!write(*static_cast<int*>(file), "x", 1); }
NOINLINE void close_it(void* file) { close(*static_cast<int*>(file)); }

void race_fd() {
  int file = open("/dev/null", O_WRONLY);
  in_turn(write_to, close_it, &file);
}

void* tag;

NOINLINE void modify_tagged(void* object) { __tsan_external_write(object, __builtin_return_address(0), tag); }
NOINLINE void read_tagged(void* object) { __tsan_external_read(object, __builtin_return_address(0), tag); }

void race_external() {
  tag = __tsan_external_register_tag("MPSStream");
  void* object = malloc(16);
  __tsan_external_assign_tag(object, tag);
  in_turn(modify_tagged, read_tagged, object);
  free(object);
}

void race_two() {
  race_global();
  race_method();
  race_global();
}

// --- life times

void uaf() {
  in_turn([](void* block) { delete[] static_cast<int*>(block); }, [](void* block) { sink = load(static_cast<int*>(block)); },
          new int[4]());
}

void uaf_object() {
  in_turn([](void* stream) { drop(static_cast<Stream*>(stream)); }, [](void* stream) { sink = peek(static_cast<Stream*>(stream)); },
          static_cast<Stream*>(new WorkerStream));
}

void uaf_virtual() {
  in_turn([](void* stream) { free(stream); }, [](void* stream) { sink = use(static_cast<Stream*>(stream)); },
          static_cast<Stream*>(new (malloc(sizeof(WorkerStream))) WorkerStream));
}

void vptr() {
  alignas(WorkerStream) static char room[sizeof(WorkerStream)];
  in_turn([](void* stream) { sink = use(static_cast<Stream*>(stream)); }, [](void* stream) { static_cast<Stream*>(stream)->~Stream(); },
          static_cast<Stream*>(new (room) WorkerStream));
}

// --- locks

std::mutex m0, m1, m2;

NOINLINE void both(std::mutex* first, std::mutex* second) {
  std::lock_guard<std::mutex> outer(*first);
  std::lock_guard<std::mutex> inner(*second);
}

NOINLINE void other_way(std::mutex* first, std::mutex* second) {
  std::lock_guard<std::mutex> outer(*first);
  std::lock_guard<std::mutex> inner(*second);
}

void both_ways(Body first, Body second) {
  for (Body body : {first, second}) {
    Job job = {body, nullptr, true};
    turn.store(2, std::memory_order_relaxed);
    pthread_t thread;
    pthread_create(&thread, nullptr, [](void* one) -> void* { return static_cast<Job*>(one)->body(nullptr), nullptr; }, &job);
    pthread_join(thread, nullptr);
  }
}

void one_way(void*) { both(&m0, &m1); }
void back(void*) { other_way(&m1, &m0); }

void lock_order() { both_ways(one_way, back); }
void lock_order_swapped() { both_ways(back, one_way); }

void lock_order_three() {
  both(&m0, &m1);
  both_ways([](void*) { both(&m1, &m2); }, [](void*) { other_way(&m2, &m0); });
}

NOINLINE void destroy(pthread_mutex_t* lock) { pthread_mutex_destroy(lock); }
NOINLINE void unlock(pthread_mutex_t* lock) { pthread_mutex_unlock(lock); }

void destroy_locked() {
  auto* lock = new pthread_mutex_t;
  pthread_mutex_init(lock, nullptr);
  pthread_mutex_lock(lock);
  destroy(lock);
}

void bad_unlock() {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&lock);
  pthread_mutex_unlock(&lock);
  unlock(&lock);
}

NOINLINE void lock_annotated(void* lock, unsigned flags) {
  __tsan_mutex_pre_lock(lock, flags);
  __tsan_mutex_post_lock(lock, flags, 1);
}
NOINLINE void unlock_annotated(void* lock, unsigned flags) {
  __tsan_mutex_pre_unlock(lock, flags);
  __tsan_mutex_post_unlock(lock, flags);
}

int annotated;
constexpr unsigned kRead = 1 << 3;

// A real mutex that is locked twice hangs; an annotated one only says so.
void double_lock() {
  __tsan_mutex_create(&annotated, 0);
  auto lock = [](void* mutex) { lock_annotated(mutex, 0); };
  in_turn(lock, lock, &annotated);
}

void bad_read_lock() {
  __tsan_mutex_create(&annotated, 0);
  lock_annotated(&annotated, 0);
  lock_annotated(&annotated, kRead);
}

void bad_read_unlock() {
  __tsan_mutex_create(&annotated, 0);
  lock_annotated(&annotated, 0);
  unlock_annotated(&annotated, kRead);
}

void invalid_mutex() {
  auto* lock = static_cast<pthread_mutex_t*>(malloc(sizeof(pthread_mutex_t)));
  pthread_mutex_init(lock, nullptr);
  pthread_mutex_destroy(lock);
  pthread_mutex_lock(lock);
}

// --- threads and signals

void thread_leak() {
  for (int index = 0; index < 3; ++index) {
    pthread_t thread;
    pthread_create(&thread, nullptr, [](void*) -> void* { return nullptr; }, nullptr);
  }
  usleep(50000);
}

NOINLINE void allocating_handler(int) {
  void* volatile block = malloc(10);
  free(block);
}

void signal_unsafe() {
  signal(SIGALRM, allocating_handler);
  raise(SIGALRM);
  usleep(1000);
}

NOINLINE void spoiling_handler(int) { errno = 5; }

void signal_errno() {
  signal(SIGALRM, spoiling_handler);
  ualarm(1000, 0);
  pause();
}

// --- no report, and the end of the process

void clean() { in_turn(store_under_left, store_under_left); }

NOINLINE void crash_here(volatile int* nowhere) { *nowhere = 1; }

void segv() {
  race_method();
  crash_here(reinterpret_cast<int*>(0x10));
}

// Not in --list: as many threads as the hook's static buffers could get wrong.
void crowd() {
  static int values[64];
  pthread_t threads[8];
  for (pthread_t& thread : threads) {
    auto body = [](void*) -> void* {
      for (int& value : values) add(&value);
      return nullptr;
    };
    pthread_create(&thread, nullptr, body, nullptr);
  }
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
}

const std::map<std::string, void (*)()> cases = {
#define CASE(name) {#name, name}
    CASE(race_global), CASE(race_element), CASE(race_heap), CASE(race_stack), CASE(race_tls), CASE(race_method),
    CASE(race_template), CASE(race_template_swapped), CASE(race_operator), CASE(race_lambda), CASE(race_thread), CASE(race_one_locked),
    CASE(race_two_locks), CASE(race_atomic), CASE(race_memcpy), CASE(race_map), CASE(race_recursion), CASE(race_inlined),
    CASE(race_named), CASE(race_sleep), CASE(race_fd), CASE(race_external), CASE(race_two), CASE(uaf), CASE(uaf_object),
    CASE(uaf_virtual), CASE(vptr), CASE(lock_order), CASE(lock_order_swapped), CASE(lock_order_three), CASE(destroy_locked),
    CASE(bad_unlock), CASE(double_lock), CASE(bad_read_lock), CASE(bad_read_unlock), CASE(invalid_mutex), CASE(thread_leak),
    CASE(signal_unsafe), CASE(signal_errno), CASE(clean), CASE(segv),
#undef CASE
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  for (int index = 1; index < argc; ++index) {
    std::string name = argv[index];
    auto found = cases.find(name);
    if (name == "--list") {
      for (const auto& one : cases) puts(one.first.c_str());
    } else if (name == "crowd") {
      crowd();
    } else if (found != cases.end()) {
      found->second();
    } else {
      return 2;
    }
  }
}
