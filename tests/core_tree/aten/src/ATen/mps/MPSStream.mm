#include <ATen/mps/MPSDevice.h>
#include <ATen/mps/MPSStream.h>

namespace at::mps {

MPSStream::MPSStream()
    : command_queue_([MPSDevice::getInstance()->device() newCommandQueue]),
      command_buffer_(nil),
      serial_queue_(dispatch_queue_create("core tree", nullptr)) {}

MPSStream::~MPSStream() {
  [command_buffer_ release];
  [command_queue_ release];
  dispatch_release(serial_queue_);
}

id<MTLCommandBuffer> MPSStream::current() {
  if (command_buffer_ == nil) {
    command_buffer_ = [[command_queue_ commandBuffer] retain];
  }
  return command_buffer_;
}

void MPSStream::fill(id<MTLBuffer> buffer, unsigned char value) {
  dispatch_sync(serial_queue_, ^() {
    id<MTLBlitCommandEncoder> encoder = [current() blitCommandEncoder];
    [encoder fillBuffer:buffer range:NSMakeRange(0, [buffer length]) value:value];
    [encoder endEncoding];
  });
}

void MPSStream::synchronize() {
  dispatch_sync(serial_queue_, ^() {
    [current() commit];
    [command_buffer_ waitUntilCompleted];
    [command_buffer_ release];
    command_buffer_ = nil;
  });
}

MPSStream* getDefaultMPSStream() {
  static MPSStream stream;
  return &stream;
}

} // namespace at::mps
