// What a PyTorch tree's own MPS core does for the torch glue: the part of runtime/device.h that fallback.cpp and its kind
// use, over at::mps::MPSStream. Streams are the tree's; their ids are those of c10::Stream.
#pragma once

#include "runtime/device.h"

namespace mps_sim {

// The MTLBuffers that the calling thread's next submission uses: bound to its encoder, so that the tree's command buffer keeps
// them as it keeps those of an operator on a Mac.
void note_buffer(void* buffer);  // Since its last `current_stream()`.

// Throws the error of a kernel that the calling thread, or a thread that has ended, submitted.
void raise_kernel_error();

}  // namespace mps_sim
