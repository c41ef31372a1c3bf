// The Metal buffer behind a handle of PyTorch's allocator.
#pragma once

#include <ATen/mps/MPSStream.h>

#include "native/backend.h"

namespace harness::backend {

inline id<MTLBuffer> metal_buffer(Buffer buffer) { return static_cast<id<MTLBuffer>>(buffer.handle); }

}  // namespace harness::backend
