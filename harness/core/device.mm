// The torch glue's view of a PyTorch tree's own MPS core. A kernel is encoded as an operator of the tree encodes its shader: on
// the stream's serial queue, into the compute encoder of the stream's open command buffer. When it is committed, waited for,
// and in what order its memory is used again, is the tree's doing alone: that is what is under test.
#include "core/device.h"

#include <ATen/mps/MPSStream.h>
#include <ATen/native/mps/OperationUtils.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "runtime/order_host.h"
#include "simulated_metal/simulated_metal.h"

namespace mps_sim {

namespace {

constexpr size_t kGraphsMax = 10'000;  // Of shapes; a program with more has no use for them.

thread_local std::vector<void*> used_buffers;

struct Streams {
  std::mutex mutex;
  std::unordered_map<StreamId, at::mps::MPSStream*> by_id;
};

Streams& streams() {
  static auto* const one = new Streams;
  return *one;
}

at::mps::MPSStream* stream_of(StreamId id) {
  std::lock_guard<std::mutex> guard(streams().mutex);
  auto found = streams().by_id.find(id);
  return found != streams().by_id.end() ? found->second : at::mps::getDefaultMPSStream();
}

struct KernelError {
  std::string text;
  std::shared_ptr<std::atomic<bool>> owner_alive;
};

struct KernelErrors {
  std::mutex mutex;
  std::vector<KernelError> waiting;
  std::atomic<bool> is_any{false};
};

KernelErrors& kernel_errors() {
  static auto* const one = new KernelErrors;
  return *one;
}

struct Life {  // Of a thread: who waits for its errors when it has ended?
  std::shared_ptr<std::atomic<bool>> is_alive = std::make_shared<std::atomic<bool>>(true);
  ~Life() { is_alive->store(false); }
};

std::shared_ptr<std::atomic<bool>> this_life() {
  thread_local Life life;
  return life.is_alive;
}

void keep_error(std::string text, std::shared_ptr<std::atomic<bool>> owner_alive) {
  KernelErrors& errors = kernel_errors();
  std::lock_guard<std::mutex> guard(errors.mutex);
  errors.waiting.push_back({std::move(text), std::move(owner_alive)});
  errors.is_any.store(true, std::memory_order_release);
}

void end_turn(StreamId id, at::mps::SyncType how) {
  at::mps::MPSStream* stream = stream_of(id);
  at::native::mps::dispatch_sync_with_rethrow(stream->queue(), ^() {
    @autoreleasepool {
      stream->synchronize(how);
    }
  });
}

}  // namespace

void note_buffer(void* buffer) {
  if (buffer != nullptr) used_buffers.push_back(buffer);
}

// Every call of the fallback asks for it first, before it notes its buffers. Those of a call that raised in between, out of
// memory, must not be bound to the next one: they may be released by then.
StreamId current_stream() {
  used_buffers.clear();
  at::mps::MPSStream* stream = at::mps::getCurrentMPSStream();
  const auto id = static_cast<StreamId>(stream->unwrap().id());
  std::lock_guard<std::mutex> guard(streams().mutex);
  streams().by_id[id] = stream;
  return id;
}

void submit(StreamId id, const char* name, Kernel kernel) {
  at::mps::MPSStream* stream = stream_of(id);
  std::function<void()> body = [kernel = std::move(kernel), owner_alive = this_life(), work = order::work_submitted(id, name)] {
    try {
      kernel();
    } catch (const std::exception& error) {  // A command buffer has no place for the text of a C++ exception.
      keep_error(error.what(), owner_alive);
    }
    if (work != nullptr) work->has_run.store(true, std::memory_order_release);
  };
  const std::vector<void*> buffers = std::exchange(used_buffers, {});
  std::function<void()>* const work = &body;
  at::native::mps::dispatch_sync_with_rethrow(stream->queue(), ^() {
    @autoreleasepool {
      simulated::dispatch_host((void*)stream->commandEncoder(), std::move(*work), buffers);
    }
  });
}

void submit_own(StreamId id, const char* name, Kernel kernel) { submit(id, name, std::move(kernel)); }

void commit(StreamId id) { end_turn(id, at::mps::SyncType::COMMIT); }

void synchronize(StreamId id, bool) {
  end_turn(id, at::mps::SyncType::COMMIT_AND_WAIT);
  order::wait_returned(id, "synchronize");
  raise_kernel_error();
}

void raise_kernel_error() {
  KernelErrors& errors = kernel_errors();
  if (!errors.is_any.load(std::memory_order_acquire)) return;
  const auto mine = this_life();
  std::string text;
  {
    std::lock_guard<std::mutex> guard(errors.mutex);
    auto found = std::find_if(errors.waiting.begin(), errors.waiting.end(), [&](const KernelError& one) {
      return one.owner_alive == mine || !one.owner_alive->load();
    });
    if (found == errors.waiting.end()) return;
    text = std::move(found->text);
    errors.waiting.erase(found);
    errors.is_any.store(!errors.waiting.empty(), std::memory_order_release);
  }
  throw DeviceError(text);
}

std::shared_ptr<Graph> find_graph(const GraphKey& key, const std::function<std::shared_ptr<Graph>()>& compile) {
  static std::mutex mutex;
  static auto* const graphs = new std::unordered_map<std::string, std::shared_ptr<Graph>>;
  const std::string whole = key.shapes + '\0' + key.constants + '\0' + key.mode;
  {
    std::lock_guard<std::mutex> guard(mutex);
    auto found = graphs->find(whole);
    if (found != graphs->end()) return found->second;
  }
  std::shared_ptr<Graph> made = compile();  // Without the lock: it runs torch's code.
  std::lock_guard<std::mutex> guard(mutex);
  if (graphs->size() >= kGraphsMax) graphs->clear();
  return graphs->emplace(whole, std::move(made)).first->second;
}

void check_not_forked() {}  // The tree's own business: `_mps_is_in_bad_fork`.

// The zoo's switches: no fault is seeded here, the tree has its own.
bool strikes(Fault) { return false; }
bool is_armed(Fault) { return false; }
void window(Fault) {}
void* shared_scratch(Fault, size_t) { abort(); }
void commit_unqueued(StreamId, Fault) { abort(); }
void note_accesses(std::shared_ptr<const Accesses>) { abort(); }

}  // namespace mps_sim
