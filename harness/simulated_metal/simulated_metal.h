// What a backend or a test uses of the simulated Metal beyond Metal's own interface. `void*` stands for an Objective-C object.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace simulated {

// ---- memory
void* memory(const void* buffer);  // Behind an MTLBuffer, whatever its storage mode; null for nil.
size_t length(const void* buffer);

// ---- work
// Encodes a host function as one compute dispatch into this MTLComputeCommandEncoder; `buffers` are kept like bound ones.
void dispatch_host(void* encoder, std::function<void()> body, const std::vector<void*>& buffers);

// ---- what was done, since the start of the process
struct Counts {
  uint64_t command_buffers, dispatches, blits, signals, waits, heaps, buffers, graphs, signposts;
};
Counts counts();
void count_graph();  // One more was encoded, by an interpreter of graphs that is no part of the layer.

}  // namespace simulated

// "" or what is wrong with the text: see options.h. For callers that cannot use C++.
extern "C" const char* simulated_metal_configure(const char* text);
