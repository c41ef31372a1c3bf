// The device as a whole: streams, fork, the end of the process. A forked child has none of the streams' threads, so one
// that inherits a used device is refused, in MPS's words. Streams are never destroyed; at exit they are finished and
// later work is dropped, because their threads run kernels of libraries whose static objects are destroyed next.
#include "device.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "counters.h"
#include "options.h"
#include "order.h"
#include "pool.h"
#include "stream.h"
#include "thread_state.h"

namespace mps_sim {

namespace {

constexpr int kStreamsMax = 1 + kPoolStreamsUpstream;
constexpr size_t kScratchBytesMax = size_t{1} << 20;

std::atomic<bool> is_used{false};
std::atomic<bool> is_forked_child{false};
std::atomic<bool> is_ending{false};

std::array<Stream*, kStreamsMax>& all_streams() {
  static auto* const streams = [] {
    auto* made = new std::array<Stream*, kStreamsMax>;
    for (int id = 0; id < kStreamsMax; ++id) (*made)[static_cast<size_t>(id)] = new Stream(id);
    return made;
  }();
  return *streams;
}

void note_fork() {
  if (is_used.load() && !strikes(Fault::fork_state_reused)) is_forked_child.store(true);
}

// Streams' threads run kernels of libraries whose static objects are destroyed soon after this.
void end_device() {
  if (in_bad_fork()) return;
  if (strikes(Fault::exit_static_destruction)) {
    destroy_counters();
    return;
  }
  is_ending.store(true);
  for (int id = 0; id < stream_count(); ++id) stream(id).finish();
}

void use_device() {
  if (is_used.load(std::memory_order_relaxed)) return;
  static std::once_flag once;
  std::call_once(once, [] {
    pthread_atfork(nullptr, nullptr, note_fork);
    std::atexit(end_device);
    schedule_serve({[] { return stream_count(); }, [](int id) { return stream(id).is_runnable(); },
                    [](int id) { stream(id).run_one(); }});
    is_used.store(true);
  });
}

// A thread works on another one's stream without that stream's queue. Waits in both directions keep the values right,
// so that what shows is the misuse itself.
void submit_to_neighbour(Stream& own, Work work) {
  Stream& other = stream(own.id() % kPoolStreams + 1);
  Work wait;
  wait.name = "wait_for_event";
  wait.awaited_stream = own.id();
  wait.awaited_ticket = own.flush();
  other.encode_unqueued(std::move(wait));
  other.encode_unqueued(std::move(work));
  own.wait_for(other.id(), other.flush());
}

void raise_errors_of(Stream& stream) {
  std::string text = stream.take_error();
  if (!text.empty()) throw DeviceError(text);
}

// What a sound implementation has: nobody else's. One thread runs several streams in the replayable mode.
void* scratch_of_this_thread() {
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  thread_local std::array<std::unique_ptr<void, Free>, kStreamsMax + 1> buffers;
  auto& buffer = buffers[static_cast<size_t>(order::running_stream() + 1)];
  if (buffer == nullptr) buffer.reset(std::calloc(1, kScratchBytesMax));
  return buffer.get();
}

Counters* the_counters = new Counters;

thread_local std::shared_ptr<const Accesses> noted_accesses;

}  // namespace

void note_accesses(std::shared_ptr<const Accesses> accesses) { noted_accesses = std::move(accesses); }

Counters& counters() { return *the_counters; }
void destroy_counters() { std::memset(static_cast<void*>(&the_counters), 0x55, sizeof the_counters); }

Stream& stream(StreamId id) {
  if (id < 0 || id >= kStreamsMax) throw std::invalid_argument("simulated device: no stream " + std::to_string(id));
  return *all_streams()[static_cast<size_t>(id)];
}

void check_not_forked() {
  if (in_bad_fork()) {
    throw DeviceError(
        "Cannot re-initialize MPS (simulated) in forked subprocess. To use MPS with multiprocessing, you must use the "
        "'spawn' start method");
  }
  use_device();
}

bool in_bad_fork() { return is_forked_child.load(std::memory_order_relaxed); }

namespace {

void submit_of_lane(StreamId lane, StreamId id, const char* name, Kernel kernel) {
  check_not_forked();
  if (is_ending.load(std::memory_order_relaxed)) return;  // Nothing can read it any more.
  note_thread_uses_device();
  schedule_yield();
  counters().submitted.fetch_add(1, std::memory_order_relaxed);
  Work work;
  work.name = name;
  work.kernel = std::move(kernel);
  work.pipeline = take_found_pipeline();
  work.accesses = std::exchange(noted_accesses, nullptr);
  ThreadState* thread = this_thread();
  if (thread != nullptr && !thread->is_autograd) work.owner_alive = thread->is_alive;
  Stream& own = stream(id);
  work.promise = order::promise_for(lane, thread != nullptr ? thread->step : order::Step{});
  // Before, for whoever destroys it meanwhile; and after, when its position is known.
  const std::shared_ptr<Pipeline> pipeline = work.pipeline;
  if (pipeline != nullptr) pipeline->note_use(id, own.encoded() + 1);
  if (id > 0 && strikes(Fault::pool_two_threads_one_stream)) {
    submit_to_neighbour(own, std::move(work));
  } else {
    own.submit(std::move(work));
  }
  if (pipeline != nullptr) pipeline->note_use(id, own.encoded());
  if (lane != id) order::submitted_elsewhere(lane, id, own.encoded());
}

}  // namespace

void submit(StreamId id, const char* name, Kernel kernel) { submit_of_lane(lane_of(id), id, name, std::move(kernel)); }

void submit_own(StreamId id, const char* name, Kernel kernel) {
  submit_of_lane(own_lane(id), id, name, std::move(kernel));
}

namespace {

void finish_asked(Stream& stream) {
  if (strikes(Fault::stream_synchronize_outside_queue)) {
    stream.commit_unqueued(Fault::stream_synchronize_outside_queue);
  }
  stream.finish();
}

}  // namespace

void note_step(int thread, int64_t iteration) {
  if (ThreadState* own = this_thread()) own->step = {thread, iteration};
}

void commit(StreamId id) {
  check_not_forked();
  stream(id).flush();
}

void commit_unqueued(StreamId id, Fault fault) { stream(id).commit_unqueued(fault); }

void synchronize(StreamId id, bool is_asked) {
  check_not_forked();
  schedule_yield();
  counters().synchronisations.fetch_add(1, std::memory_order_relaxed);
  order::Asked asked;
  order::ask_stream(asked, lane_of(id), stream(lane_of(id)).encoded());
  if (is_asked) finish_asked(stream(id));
  if (!is_asked) stream(id).finish();
  order::returned(asked, "synchronize");
  raise_errors_of(stream(id));
}

void synchronize_all() {
  check_not_forked();
  schedule_yield();
  counters().synchronisations.fetch_add(1, std::memory_order_relaxed);
  order::Asked asked;
  for (int id = 0; id < stream_count(); ++id) order::ask_stream(asked, id, stream(id).encoded());
  const bool stops_at_error = strikes(Fault::synchronize_stops_at_error);
  for (int id = 0; id < stream_count(); ++id) {
    if (!stream(id).is_idle() && id > 0 && strikes(Fault::synchronize_skips_stream)) continue;
    finish_asked(stream(id));
    if (stops_at_error) raise_errors_of(stream(id));
  }
  order::returned(asked, "synchronize_all");
  note_device_idle();
  for (int id = 0; id < stream_count(); ++id) raise_errors_of(stream(id));
}

bool query(StreamId id) { return stream(id).is_done_with_all(); }

void* shared_scratch(Fault fault, size_t bytes_max) {
  if (bytes_max > kScratchBytesMax) return nullptr;
  if (is_twin(fault)) return scratch_of_this_thread();
  static std::mutex mutex;
  static auto* const buffers = new std::unordered_map<int, void*>;
  std::lock_guard<std::mutex> guard(mutex);
  void*& buffer = (*buffers)[static_cast<int>(fault)];
  if (buffer == nullptr) buffer = std::calloc(1, kScratchBytesMax);
  return buffer;
}

std::map<std::string, int64_t> statistics() {
  const Counters& now = counters();
  std::map<std::string, int64_t> figures = {
      {"submitted", now.submitted},
      {"executed", now.executed},
      {"commits", now.commits},
      {"handlers", now.handlers},
      {"synchronisations", now.synchronisations},
      {"allocations", now.allocations},
      {"compiles", static_cast<int64_t>(compile_count())},
  };
  for (const auto& name : fault_names()) {
    Fault fault = fault_by_name(name);
    if (is_armed(fault)) figures["faults_" + name] = static_cast<int64_t>(fault_count(fault));
  }
  return figures;
}

}  // namespace mps_sim
