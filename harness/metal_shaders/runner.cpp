#include "runner.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>

#include "checks.h"
#include "fibers.h"
#include "runtime/random.h"

namespace metal_shaders {

using metal_abi::kSimdWidth;
using metal_abi::kThreadsMax;
using metal_abi::Launch;
using metal_abi::SimdGroup;
using metal_abi::Thread;

namespace {

constexpr unsigned kNoStack = ~0u;
constexpr unsigned kSimdGroups = kThreadsMax / kSimdWidth;
constexpr size_t kMemoryMax = 32768;  // Of a threadgroup, as on Apple's GPUs.
constexpr size_t kGap = 256;          // Between two pieces of it: what is behind the end of one is not the next.
constexpr size_t kMemoryBlock = 2 * kMemoryMax + 64 * kGap;

enum class Favour { all_alike, a_simd_group, a_thread };

// 0..count-1 in another order, without a table: a step that shares no factor with the count.
class Order {
 public:
  Order(uint64_t count, mps_sim::Random& random) : count_(count), at_(random.below(count)), step_(1 + random.below(count)) {
    while (std::gcd(step_, count) != 1) step_ = step_ % count + 1;
  }
  uint64_t next() { return at_ = (at_ + step_) % count_; }

 private:
  const uint64_t count_;
  uint64_t at_, step_;
};

struct Waiting {
  uint64_t priority;
  unsigned thread;
  bool operator<(const Waiting& other) const { return priority > other.priority; }  // The smallest is on top.
};

// One for each thread of the operating system that runs kernels; never destroyed.
class Runner : public metal_abi::Runtime {
 public:
  static Runner& of_this_thread() {
    static thread_local Runner* const runner = new Runner;
    return *runner;
  }
  static Runner& of(const Thread& thread) { return *static_cast<Runner*>(const_cast<metal_abi::Runtime*>(thread.launch->runtime)); }

  Runner();
  void run(const Dispatch& dispatch);

 private:
  enum class State : unsigned char { not_started, can_run, meets, at_barrier, ended };

  void bind(const Dispatch& dispatch);
  void* take_memory(size_t bytes, int index);
  void run_group(mps_sim::Random& random);
  void begin_group(mps_sim::Random& random);
  void start(unsigned index, unsigned stack);
  void push(unsigned thread);
  unsigned free_stack();
  void go_on();
  void wait(Thread& thread, State state, const void* site, unsigned flags = 0);
  bool end(unsigned stack);
  void after(unsigned simd);
  void release_simd(unsigned simd);
  void release_all();
  static void body();

  static void on_barrier(Thread& self, unsigned flags, const void* site);
  static void on_meet(Thread& self, const void* site);
  static void* on_variable(Thread& self, unsigned declaration, unsigned long bytes);

  Stacks stacks_;
  Checks checks_;
  const Dispatch* dispatch_ = nullptr;
  Launch launch_{};
  char* memory_block_;
  size_t memory_used_ = 0, memory_counted_ = 0;
  struct Piece {
    char* begin;
    size_t bytes;
    unsigned declaration;  // ~0u for one that is bound by index.
  };
  std::vector<Piece> pieces_;

  // ---- of the group that runs
  mps_sim::Random* random_ = nullptr;
  Favour favour_ = Favour::all_alike;
  unsigned count_ = 0, started_ = 0, ended_ = 0, at_barrier_ = 0, flags_ = 0;
  uint64_t order_at_ = 0, order_step_ = 1;
  bool has_met_ = false;
  std::vector<Waiting> can_run_;
  std::vector<unsigned> free_;
  unsigned stacks_used_ = 0;
  void* scheduler_ = nullptr;
  void* stack_pointers_[kThreadsMax] = {};
  unsigned stack_of_[kThreadsMax], thread_of_[kThreadsMax];
  State states_[kThreadsMax];
  const void* sites_[kThreadsMax];
  uint64_t ranks_[kThreadsMax];
  Thread* lanes_[kThreadsMax];
  SimdGroup simds_[kSimdGroups];
  unsigned live_[kSimdGroups], meeting_[kSimdGroups], at_barrier_of_[kSimdGroups];
  char poison_ = 0;
};

Runner::Runner() : memory_block_(static_cast<char*>(aligned_alloc(kGap, kMemoryBlock))) {
  barrier = on_barrier;
  meet = on_meet;
  variable = on_variable;
  access = [](Thread& self, const void* memory, unsigned long bytes, int is_write, const void* site) {
    of(self).checks_.access(self, memory, bytes, is_write != 0, site);
  };
  atomic = [](Thread& self, const void* memory, unsigned long bytes, int is_write, const void* site) {
    of(self).checks_.atomic(self, memory, bytes, is_write != 0, site);
  };
  fail = [](Thread& self, const char* what, const void* site) { of(self).checks_.fail(self, what, site); };
}

void Runner::bind(const Dispatch& dispatch) {
  dispatch_ = &dispatch;
  launch_ = {};
  launch_.runtime = this;
  checks_.begin(dispatch, stacks_);
  memory_used_ = memory_counted_ = 0;
  pieces_.clear();
  for (size_t index = 0; index < dispatch.buffers.size(); ++index) launch_.buffers[index] = dispatch.buffers[index].data;
  for (size_t index = 0; index < dispatch.memory_bytes.size(); ++index) {
    if (dispatch.memory_bytes[index] > 0) launch_.memory[index] = take_memory(dispatch.memory_bytes[index], -1);
  }
  for (int i = 0; i < 3; ++i) {
    launch_.grid[i] = dispatch.grid[i];
    launch_.dispatched[i] = dispatch.group[i];
    launch_.groups[i] = (dispatch.grid[i] + dispatch.group[i] - 1) / dispatch.group[i];
  }
}

// Null where the group has no more.
void* Runner::take_memory(size_t bytes, int declaration) {
  memory_counted_ += (bytes + 15) / 16 * 16;
  size_t begin = memory_used_ + kGap, end = (begin + bytes + kGap - 1) / kGap * kGap;
  if (memory_counted_ > kMemoryMax || end > kMemoryBlock) return nullptr;
  memory_used_ = end;
  char* made = memory_block_ + begin;
  pieces_.push_back({made, bytes, static_cast<unsigned>(declaration)});
  checks_.add_memory(made, bytes);
  return made;
}

void Runner::run(const Dispatch& dispatch) {
  bind(dispatch);
  mps_sim::Random random(dispatch.seed);
  const auto& groups = launch_.groups;
  uint64_t count = uint64_t{groups[0]} * groups[1] * groups[2];
  if (count == 0) return;
  Order order(count, random);
  for (uint64_t done = 0; done < count; ++done) {
    uint64_t number = order.next();
    launch_.group[0] = static_cast<unsigned>(number % groups[0]);
    launch_.group[1] = static_cast<unsigned>(number / groups[0] % groups[1]);
    launch_.group[2] = static_cast<unsigned>(number / groups[0] / groups[1]);
    for (int i = 0; i < 3; ++i) {
      launch_.threads[i] = std::min(launch_.dispatched[i], launch_.grid[i] - launch_.group[i] * launch_.dispatched[i]);
    }
    run_group(random);
  }
}

void Runner::begin_group(mps_sim::Random& random) {
  random_ = &random;
  count_ = launch_.threads[0] * launch_.threads[1] * launch_.threads[2];
  started_ = ended_ = at_barrier_ = 0;
  has_met_ = false;
  favour_ = static_cast<Favour>(random.below(3));
  // What a kernel reads before it writes it: a NaN, or a number that is too large, which a maximum does not pass over.
  poison_ = random.below(2) == 0 ? '\xff' : '\x7f';
  for (const Piece& piece : pieces_) memset(piece.begin, poison_, piece.bytes);
  order_step_ = 1 + random.below(count_);
  while (std::gcd(order_step_, uint64_t{count_}) != 1) order_step_ = order_step_ % count_ + 1;
  order_at_ = random.below(count_);
  unsigned simds = (count_ + kSimdWidth - 1) / kSimdWidth;
  for (unsigned simd = 0; simd < simds; ++simd) {
    live_[simd] = std::min(kSimdWidth, count_ - simd * kSimdWidth);
    simds_[simd] = {live_[simd], 0, 0};
    meeting_[simd] = at_barrier_of_[simd] = 0;
  }
  checks_.begin_group();
}

METAL_SHADERS_SWITCHES void Runner::run_group(mps_sim::Random& random) {
  begin_group(random);
  free_.clear();
  stacks_used_ = 0;
  can_run_.clear();
  order_at_ = (order_at_ + order_step_) % count_;
  start(static_cast<unsigned>(order_at_), free_stack());
  go_on();
}

// Lets one thread after another run, until all have ended.
METAL_SHADERS_SWITCHES void Runner::go_on() {
  unsigned next = static_cast<unsigned>(order_at_);
  for (;;) {
    switch_stack(&scheduler_, stack_pointers_[stack_of_[next]]);
    if (ended_ == count_) return;
    std::pop_heap(can_run_.begin(), can_run_.end());
    next = can_run_.back().thread;
    can_run_.pop_back();
    if (states_[next] == State::not_started) start(next, free_stack());
  }
}

void Runner::start(unsigned index, unsigned stack) {
  ++started_;
  Thread& thread = *stacks_.thread(stack);
  thread.launch = &launch_;
  thread.simd = &simds_[index / kSimdWidth];
  thread.lanes = lanes_ + index / kSimdWidth * kSimdWidth;
  thread.index = index;
  const auto& threads = launch_.threads;
  thread.local[0] = index % threads[0];
  thread.local[1] = index / threads[0] % threads[1];
  thread.local[2] = index / threads[0] / threads[1];
  for (int i = 0; i < 3; ++i) thread.global[i] = launch_.group[i] * launch_.dispatched[i] + thread.local[i];
  lanes_[index] = &thread;
  stack_of_[index] = stack;
  thread_of_[stack] = index;
  states_[index] = State::can_run;
}

unsigned Runner::free_stack() {
  if (!free_.empty()) {
    unsigned stack = free_.back();
    free_.pop_back();
    return stack;
  }
  unsigned stack = stacks_used_++;
  stack_pointers_[stack] = stacks_.prepare(stack, body);
  return stack;
}

// What each stack runs: one thread, and as long as none has met another, all others after it.
METAL_SHADERS_SWITCHES void Runner::body() {
  Thread& thread = metal_abi::thread_of(__builtin_frame_address(0));
  Runner& runner = of(thread);
  unsigned stack = runner.stack_of_[thread.index];
  for (;;) {
    runner.dispatch_->entry->call(thread);
    if (!runner.end(stack)) switch_stack(&runner.stack_pointers_[stack], runner.scheduler_);
  }
}

// Returns whether this stack goes on with another thread at once.
bool Runner::end(unsigned stack) {
  unsigned index = thread_of_[stack], simd = index / kSimdWidth;
  states_[index] = State::ended;
  ++ended_;
  --live_[simd];
  if (!has_met_) {
    stack_of_[index] = kNoStack;
    if (started_ == count_) return false;
    order_at_ = (order_at_ + order_step_) % count_;
    start(static_cast<unsigned>(order_at_), stack);
    return true;
  }
  after(simd);
  // Others of the SIMD group may still read what this one left in its slot: no other thread comes onto its stack before.
  if (live_[simd] == 0) {
    for (unsigned other = simd * kSimdWidth; other < simd * kSimdWidth + simds_[simd].lanes; ++other) free_.push_back(stack_of_[other]);
  }
  return false;
}

METAL_SHADERS_SWITCHES void Runner::wait(Thread& thread, State state, const void* site, unsigned flags) {
  unsigned index = thread.index, simd = index / kSimdWidth, stack = stack_of_[index];
  if (!has_met_) {  // The first: from here on each thread needs a stack of its own.
    has_met_ = true;
    for (unsigned other = 0; other < count_; ++other) {
      ranks_[other] = random_->next() >> 33;
      if (other % kSimdWidth != 0 && favour_ == Favour::a_simd_group) ranks_[other] = ranks_[other - 1];
    }
    uint64_t at = order_at_;
    for (unsigned left = count_ - started_; left > 0; --left) {
      at = (at + order_step_) % count_;
      states_[at] = State::not_started;
      push(static_cast<unsigned>(at));
    }
  }
  states_[index] = state;
  sites_[index] = site;
  if (state == State::meets) {
    ++meeting_[simd];
  } else {
    flags_ = flags;  // The same for all: they are at one call.
    ++at_barrier_;
    ++at_barrier_of_[simd];
  }
  after(simd);
  switch_stack(&stack_pointers_[stack], scheduler_);
}

void Runner::push(unsigned thread) {
  uint64_t low = random_->next() >> 33;
  can_run_.push_back({favour_ == Favour::all_alike ? low : ranks_[thread] << 31 | low, thread});
  std::push_heap(can_run_.begin(), can_run_.end());
}

// Something changed in this SIMD group: whoever waits for it may go on.
void Runner::after(unsigned simd) {
  if (meeting_[simd] > 0 && meeting_[simd] + at_barrier_of_[simd] == live_[simd]) release_simd(simd);
  if (at_barrier_ > 0 && at_barrier_ + ended_ == count_) release_all();
}

void Runner::release_simd(unsigned simd) {
  SimdGroup& group = simds_[simd];
  const void* site = nullptr;
  group.active = 0;
  for (unsigned lane = 0; lane < group.lanes; ++lane) {
    unsigned index = simd * kSimdWidth + lane;
    if (states_[index] != State::meets) continue;
    if (site != nullptr && sites_[index] != site) {
      checks_.fail(*lanes_[index], "lanes of one SIMD group wait in different calls: which come first is not simulated", sites_[index]);
    }
    site = sites_[index];
    group.active |= 1u << lane;
    states_[index] = State::can_run;
    push(index);
  }
  meeting_[simd] = 0;
  ++group.meets;
}

void Runner::release_all() {
  const void* site = nullptr;
  for (unsigned index = 0; index < count_; ++index) {
    if (states_[index] != State::at_barrier) continue;
    if (ended_ > 0) {
      std::string text = "threadgroup_barrier is reached by " + std::to_string(at_barrier_) + " threads of the group, and " +
                         std::to_string(ended_) + " ended without it";
      checks_.fail(*lanes_[index], text.c_str(), sites_[index]);
    }
    if (site != nullptr && sites_[index] != site) {
      checks_.fail(*lanes_[index], "threads of one group wait at different calls of threadgroup_barrier", sites_[index]);
    }
    site = sites_[index];
    states_[index] = State::can_run;
    push(index);
  }
  at_barrier_ = 0;
  std::fill_n(at_barrier_of_, kSimdGroups, 0);
  checks_.barrier(flags_);
}

METAL_SHADERS_SWITCHES void Runner::on_barrier(Thread& self, unsigned flags, const void* site) {
  of(self).wait(self, State::at_barrier, site, flags);
}

METAL_SHADERS_SWITCHES void Runner::on_meet(Thread& self, const void* site) { of(self).wait(self, State::meets, site); }

void* Runner::on_variable(Thread& self, unsigned declaration, unsigned long bytes) {
  Runner& runner = of(self);
  for (const Piece& piece : runner.pieces_) {
    if (piece.declaration == declaration) return piece.begin;
  }
  void* made = runner.take_memory(bytes, static_cast<int>(declaration));
  if (made == nullptr) runner.checks_.fail(self, "more than 32768 bytes of threadgroup memory", __builtin_return_address(0));
  memset(made, runner.poison_, bytes);
  return made;
}

}  // namespace

void run(const Dispatch& dispatch) { Runner::of_this_thread().run(dispatch); }

}  // namespace metal_shaders
