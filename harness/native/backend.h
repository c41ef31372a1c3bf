// What the cases drive beside bare Metal: PyTorch's MPS backend (native/mps), on a Mac or, as the core of a tree, over the
// simulated Metal; or our own model of it (native/simulated). Work on a stream is a fill or a copy of bytes, which both can do without a shader.
// Everything throws std::runtime_error: with `Unavailable` where this backend does not have the function.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace harness::backend {

struct Unavailable : std::runtime_error {
  using std::runtime_error::runtime_error;
};

const char* platform();                            // "metal" on a Mac, "core" over simulated Metal; "simulated": our own model.
std::vector<std::string> designs();                // Stream pools that this build can have.
void use_design(const std::string& design);        // Before anything else; chooses where there is a choice.

// ---- streams
int stream_count();
int current_stream();                              // Binds the calling thread, as the design says.
int new_stream();                                  // The next explicit stream.
void use_stream(int stream);                       // Selects an explicit stream for the calling thread.
void release_slot();                               // The fork's: the calling thread gives its stream back.

// ---- memory
struct Buffer {
  void* handle = nullptr;
  size_t bytes = 0;
};
Buffer allocate(size_t bytes, int stream);
void deallocate(Buffer buffer);
void record_stream(Buffer buffer, int stream);
void record_foreign(const void* host_pointer, int stream);  // record_stream of memory that is not the device's: no effect.
void empty_cache();
size_t allocated_bytes();
uintptr_t address(Buffer buffer);                  // Where it lies on the device; two live buffers never overlap.

// ---- work
void fill(int stream, Buffer buffer, uint8_t value);
void copy(int stream, Buffer from, Buffer to);     // Of the same size.
void call(int stream, std::function<void()> body); // Host code in stream order (a completion handler on a Mac).
void fail(int stream, const std::string& text);    // Work that fails on the device, asynchronously.
void commit(int stream);
void synchronize(int stream);                      // Throws the calling thread's asynchronous error.
void synchronize_all();
std::vector<uint8_t> read(Buffer buffer);          // Only of what has been waited for.

// ---- events
uint32_t event_acquire(bool timing);
void event_release(uint32_t event);
void event_record(uint32_t event, int stream);
void event_wait(uint32_t event, int stream);
void event_synchronize(uint32_t event);
bool event_query(uint32_t event);
double event_elapsed_ms(uint32_t start, uint32_t end);

// ---- compiled graphs
// Looks a graph up by shape and constant, compiles it on a miss, and encodes its run: fills `buffer` with the constant that the
// graph was compiled with. Returns which graph it was.
uintptr_t run_graph(int stream, const std::string& shape, uint8_t constant, Buffer buffer);
uint64_t compile_count();
void clear_graphs();                               // As torch.mps.empty_cache() does, by any thread at any time.

// ---- seeded faults: the simulated device's alone
void arm(const std::string& fault, double probability, int window_us, bool twin);
uint64_t struck(const std::string& fault);

}  // namespace harness::backend
