// How much memory the simulated device has given away.
#pragma once

#include <cstdint>

namespace simulated {

bool take_memory(uint64_t bytes);  // False where the device has not got so much.
void give_memory_back(uint64_t bytes);
uint64_t taken_memory();
uint64_t aligned(uint64_t bytes);  // As much as a buffer of so many bytes takes from a heap.

}  // namespace simulated
