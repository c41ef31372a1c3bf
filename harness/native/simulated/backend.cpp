// The backend where there is no Metal: the runtime that the simulated torch device uses too.
#include "native/backend.h"

#include <cstring>

#include "runtime/device.h"
#include "runtime/options.h"

namespace harness::backend {

namespace {

struct FillGraph : mps_sim::Graph {
  explicit FillGraph(uint8_t value) : constant(value) {}
  const uint8_t constant;
};

}  // namespace

const char* platform() { return "simulated"; }
std::vector<std::string> designs() { return {"fork", "fork-free-list", "upstream"}; }

void use_design(const std::string& design) {
  // With more workers than streams, free slots are waited for: that is what the design promises. Compiling takes as long as
  // it must for two threads to be at it at the same time on a busy machine.
  mps_sim::configure("design=" + design + ";pool_wait_ms=-1;compile_us=2000");
}

int stream_count() { return mps_sim::stream_count(); }
int current_stream() { return mps_sim::current_stream(); }
int new_stream() { return mps_sim::new_stream(); }
void use_stream(int stream) { mps_sim::exchange_current_stream(stream); }
void release_slot() { mps_sim::release_current_thread_slot(); }

Buffer allocate(size_t bytes, int stream) { return {mps_sim::allocate(bytes, stream), bytes}; }
void deallocate(Buffer buffer) { mps_sim::deallocate(buffer.handle); }
void record_stream(Buffer buffer, int stream) { mps_sim::record_stream(buffer.handle, stream); }
void record_foreign(const void* host_pointer, int stream) {
  mps_sim::record_stream(const_cast<void*>(host_pointer), stream);  // Looked up, never written to.
}
void empty_cache() { mps_sim::empty_cache(); }
size_t allocated_bytes() { return mps_sim::memory().allocated_bytes; }
uintptr_t address(Buffer buffer) { return reinterpret_cast<uintptr_t>(buffer.handle); }

void fill(int stream, Buffer buffer, uint8_t value) {
  mps_sim::submit(stream, "fill", [buffer, value] { std::memset(buffer.handle, value, buffer.bytes); });
}

void copy(int stream, Buffer from, Buffer to) {
  mps_sim::submit(stream, "copy", [from, to] { std::memcpy(to.handle, from.handle, to.bytes); });
}

void call(int stream, std::function<void()> body) { mps_sim::submit(stream, "call", std::move(body)); }

void fail(int stream, const std::string& text) {
  mps_sim::submit(stream, "fail", [text] { throw mps_sim::DeviceError(text); });
}

void commit(int stream) { mps_sim::commit(stream); }
void synchronize(int stream) { mps_sim::synchronize(stream); }
void synchronize_all() { mps_sim::synchronize_all(); }

std::vector<uint8_t> read(Buffer buffer) {
  const auto* begin = static_cast<const uint8_t*>(buffer.handle);
  return {begin, begin + buffer.bytes};
}

uint32_t event_acquire(bool timing) { return mps_sim::event_acquire(timing); }
void event_release(uint32_t event) { mps_sim::event_release(event); }
void event_record(uint32_t event, int stream) { mps_sim::event_record(event, stream); }
void event_wait(uint32_t event, int stream) { mps_sim::event_wait(event, stream); }
void event_synchronize(uint32_t event) { mps_sim::event_synchronize(event); }
bool event_query(uint32_t event) { return mps_sim::event_query(event); }
double event_elapsed_ms(uint32_t start, uint32_t end) { return mps_sim::event_elapsed_ms(start, end); }

uintptr_t run_graph(int stream, const std::string& shape, uint8_t constant, Buffer buffer) {
  auto graph = mps_sim::find_graph({shape, std::to_string(constant)}, [constant] { return std::make_shared<FillGraph>(constant); });
  mps_sim::submit(stream, "graph", [graph, buffer] {
    std::memset(buffer.handle, static_cast<const FillGraph&>(*graph).constant, buffer.bytes);
  });
  return reinterpret_cast<uintptr_t>(graph.get());
}

void clear_graphs() { mps_sim::empty_cache(); }

uint64_t compile_count() { return static_cast<uint64_t>(mps_sim::statistics()["compiles"]); }

void arm(const std::string& fault, double probability, int window_us, bool twin) {
  mps_sim::arm_fault(mps_sim::fault_by_name(fault), probability, window_us, twin);
}

uint64_t struck(const std::string& fault) { return mps_sim::fault_count(mps_sim::fault_by_name(fault)); }

}  // namespace harness::backend
