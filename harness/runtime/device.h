// What the torch glue and the native harness use of the simulated device. Torch-free; safe to call from any thread.
// Everything here is simulated: it has the structure of PyTorch's MPS backend and Metal's rules, and none of their code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "faults.h"

namespace mps_sim {

using StreamId = int;  // 0 is the default stream; pool streams are 1-31 (fork) or 1-32 (upstream).
using Kernel = std::function<void()>;  // Runs on the stream's thread. What it throws becomes an asynchronous error.

struct DeviceError : std::runtime_error {  // Text of an asynchronous error, or of a misuse.
  using std::runtime_error::runtime_error;
};
struct OutOfMemory : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// "design=fork;seed=7;commit_every=4;queue_depth=64;compile_us=20;jitter_us=0;memory_bytes_max=0;
//  pool_wait_ms=-1;order=checked;schedule=free;schedule_seed=1;schedule_depth=3;faults=NAME:P[:WINDOW_US][/twin],..."
// Every key is optional. Throws std::invalid_argument that names key and choices. Before the first use of the device.
void configure(const std::string& text);

// ---- streams
StreamId current_stream();                         // Binds the calling thread on first use, as the design says.
StreamId exchange_current_stream(StreamId stream); // Explicit selection; returns the previous stream.
StreamId new_stream();                             // The next explicit stream, round-robin.
int stream_count();
void submit(StreamId stream, const char* name, Kernel kernel);  // Encodes onto the stream's command buffer.
// Of the calling thread's own work: whatever stream it is sent to, it was submitted to the thread's.
void submit_own(StreamId stream, const char* name, Kernel kernel);
void note_step(int thread, int64_t iteration);     // What the calling crew thread is at, for reports.
void commit(StreamId stream);                      // Hands over what is encoded.
// Commits, waits, throws the DeviceError of the calling thread, or in upstream's design the stream's first one. `is_asked`:
// the program waits for the stream; otherwise an operation waits for its own result.
void synchronize(StreamId stream, bool is_asked = true);
void commit_unqueued(StreamId stream, Fault fault);  // For faults: outside the stream's queue.
void synchronize_all();
bool query(StreamId stream);                       // Commits nothing; true when all submitted work is done.
void release_current_thread_slot();                // The fork's; the thread binds anew at its next use.

// ---- memory
void* allocate(size_t bytes, StreamId stream);     // 64-byte aligned; nullptr for 0. Throws OutOfMemory.
void deallocate(void* pointer);                    // To the free list of the stream it was allocated on. Never throws.
void record_stream(void* pointer, StreamId stream);// No-op for pointers that are not a live allocation.
bool owns(const void* pointer);                    // Whether it lies in a live allocation.
void empty_cache();                                // Frees idle blocks and drops compiled graphs.
void set_memory_limit(size_t bytes);               // 0: no limit.
struct Memory {
  size_t allocated_bytes, reserved_bytes, limit_bytes, graphs;
};
Memory memory();

// ---- events: handles are small positive integers from a pool
uint32_t event_acquire(bool timing);
void event_release(uint32_t event);
void event_record(uint32_t event, StreamId stream);
void event_wait(uint32_t event, StreamId stream);  // The stream waits; a no-op when never recorded.
void event_synchronize(uint32_t event);            // The calling thread waits.
bool event_query(uint32_t event);                  // True when never recorded or done.
double event_elapsed_ms(uint32_t start, uint32_t end);  // Waits for both; throws DeviceError without timing.

// ---- compiled graphs: one cache for all threads, or one per thread (the fork)
struct Graph {  // What the glue keeps per (operation, shapes, strides, dtypes, constants).
  virtual ~Graph() = default;
};
struct GraphKey {
  std::string shapes;     // Operation, devices, dtypes, sizes, strides.
  std::string constants;  // Everything else that the compiled graph contains,
  std::string mode{};     // but whether it trains.
};
// Returns the graph for the key; calls `compile` and pays the compile cost on a miss. The pointer keeps it alive.
// `compile` may throw (the exception goes through, nothing is cached) and may return null (cached as "cannot").
std::shared_ptr<Graph> find_graph(const GraphKey& key, const std::function<std::shared_ptr<Graph>()>& compile);

// ---- places for faults that live in kernels
// A small device-global buffer, as an implementer of one stream would have it; a twin has one per thread. Memory-safe: at
// most `bytes_max`.
void* shared_scratch(Fault fault, size_t bytes_max);

// What a kernel reads and writes: known only while the fault dispatch_write_after_read is armed.
struct Accesses {
  using Range = std::pair<const char*, const char*>;
  std::vector<Range> reads, writes;
  bool overwrites = false;  // In place: what it writes may be what an earlier kernel reads.
};

void note_accesses(std::shared_ptr<const Accesses> accesses);  // Of the next work that the calling thread submits.

// ---- replayable mode (schedule=random|pct): see schedule.h
void schedule_attach(int index, int count);  // Crew thread `index` of `count`; returns when it has its first turn.
void schedule_detach();
std::string schedule_not_replayable();       // Why device order may differ next time; empty when it will not.
uint64_t device_order();                     // Hash of (stream, name) of all work in the order it ran.

std::map<std::string, int64_t> statistics();  // submitted, executed, commits, compiles, faults_NAME, ...

// Throws DeviceError in a forked child of a process that has used the device, with the way out.
void check_not_forked();
bool in_bad_fork();
}  // namespace mps_sim
