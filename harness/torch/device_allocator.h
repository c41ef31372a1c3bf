// torch's allocator of the device: what tensors of the device get their memory from.
#pragma once

#include <c10/core/Allocator.h>

namespace mps_sim {

c10::Allocator* device_allocator();

}  // namespace mps_sim
