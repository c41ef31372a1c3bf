// A stream in the shape of at::mps::MPSStream: one command queue, one serial queue that guards it; see README.md.
#pragma once

#include <Metal/Metal.h>
#include <dispatch/dispatch.h>

namespace at::mps {

class MPSStream {
 public:
  MPSStream();
  MPSStream(const MPSStream&) = delete;
  MPSStream& operator=(const MPSStream&) = delete;
  ~MPSStream();

  id<MTLCommandQueue> commandQueue() const { return command_queue_; }
  dispatch_queue_t queue() const { return serial_queue_; }

  // Encodes a fill of the whole buffer.
  void fill(id<MTLBuffer> buffer, unsigned char value);

  // Commits what was encoded and waits until it has run.
  void synchronize();

 private:
  id<MTLCommandBuffer> current();

  id<MTLCommandQueue> command_queue_;
  id<MTLCommandBuffer> command_buffer_;
  dispatch_queue_t serial_queue_;
};

MPSStream* getDefaultMPSStream();

} // namespace at::mps
