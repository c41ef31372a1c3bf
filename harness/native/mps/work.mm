// Work on streams. Who calls must keep to a stream's rules: upstream's synchronize() is for code that is on the stream's
// serial queue, while a fork's enters the queue itself.
#include <ATen/detail/MPSHooksInterface.h>

#include <functional>
#include <utility>

#include "native/hand_over.h"
#include "native/mps/memory.h"
#include "native/mps/queue.h"
#include "native/mps/streams.h"

namespace harness::backend {

namespace {

using at::mps::MPSStream;
using at::mps::SyncType;

void synchronize(MPSStream* stream, SyncType how) {
  auto now = [stream, how] {
    @autoreleasepool {
      stream->synchronize(how);
    }
  };
  if constexpr (has_fork_pool) {
    now();
  } else {
    on_queue(stream->queue(), now);
  }
}

template <typename Stream>
void fill_bytes(Stream* stream, id<MTLBuffer> memory, uint8_t value, size_t bytes) {
  if constexpr (requires { stream->fill(memory, value, bytes, size_t{0}); }) {
    stream->fill(memory, value, bytes, size_t{0});
  } else {
    on_queue(stream->queue(), [=] {
      @autoreleasepool {
        stream->endKernelCoalescing();
        id<MTLBlitCommandEncoder> encoder = [stream->commandBuffer() blitCommandEncoder];
        [encoder fillBuffer:memory range:NSMakeRange(0, bytes) value:value];
        [encoder endEncoding];
      }
    });
  }
}

}  // namespace

void fill(int stream, Buffer buffer, uint8_t value) { fill_bytes(stream_at(stream), metal_buffer(buffer), value, buffer.bytes); }

void copy(int stream, Buffer from, Buffer to) {
  stream_at(stream)->copy(metal_buffer(from), metal_buffer(to), to.bytes, 0, 0, 0, SyncType::NONE);
}

void call(int stream, std::function<void()> body) {
  auto* kept = new std::function<void()>(std::move(body));
  hand_over(kept);
  stream_at(stream)->addCompletedHandler(^(id<MTLCommandBuffer>) {
    take_over(kept);
    (*kept)();
    delete kept;
  });
}

void fail(int, const std::string&) { throw Unavailable("work that fails on the device when it is told to"); }

void commit(int stream) { synchronize(stream_at(stream), SyncType::COMMIT); }

void synchronize(int stream) { synchronize(stream_at(stream), SyncType::COMMIT_AND_WAIT); }

void synchronize_all() { at::detail::getMPSHooks().deviceSynchronize(); }

}  // namespace harness::backend
