// Values of MPS's data types, one kind into another.
#pragma once

#include <cstddef>
#include <cstdint>

namespace simulated {

// MPSDataType's numbers; `kDouble` is none of them, for a graph's scalars.
constexpr uint32_t kDouble = 0x10000000 | 64;

// These end the process with the type's number where it is not known.
size_t width_of(uint32_t type);
void cast(uint32_t to_type, void* to, uint32_t from_type, const void* from, size_t count);
void conjugate(uint32_t type, void* values, size_t count);

}  // namespace simulated
