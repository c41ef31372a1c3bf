// Memory of PyTorch's MPS allocator. The allocator's functions differ between torch builds, and a missing one must not
// stop the build: `requires` inside a template asks whether it is there (outside a template it would be an error).
#include "native/mps/memory.h"

#include <ATen/detail/MPSHooksInterface.h>
#include <ATen/mps/MPSAllocatorInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include "native/mps/streams.h"

// Upstream's record_stream has an operator; its device guard does nothing where there is none.
#if __has_include(<ATen/ops/record_stream_mps_dispatch.h>)
#define HARNESS_GUARD_RECORDS_STREAMS 1
#else
#define HARNESS_GUARD_RECORDS_STREAMS 0
#endif

namespace harness::backend {

namespace {

// Its memory is visible to the host: that of the only allocator there is, or of the shared one where there are two.
at::mps::IMPSAllocator& allocator() {
  auto find = [](auto is_shared) {
    if constexpr (requires { at::mps::getIMPSAllocator(is_shared); }) {
      return at::mps::getIMPSAllocator(is_shared);
    } else {
      return at::mps::getIMPSAllocator();
    }
  };
  return *find(true);
}

template <typename Allocator>
void record(Allocator& allocator, const void* memory, int stream) {
  if constexpr (requires { allocator.recordStream(memory, int64_t{stream}); }) {
    allocator.recordStream(memory, int64_t{stream});
  } else if constexpr (HARNESS_GUARD_RECORDS_STREAMS) {
    const c10::DeviceType mps = c10::DeviceType::MPS;
    c10::DataPtr data(const_cast<void*>(memory), c10::Device(mps, 0));  // Looked up, and not owned.
    c10::impl::getDeviceGuardImpl(mps)->recordDataPtrOnStream(data, stream_at(stream)->unwrap());
  } else {
    throw Unavailable("record_stream");
  }
}

}  // namespace

Buffer allocate(size_t bytes, int stream) {
  StreamScope scope(stream);
  return {allocator().raw_allocate(bytes), bytes};
}

void deallocate(Buffer buffer) { allocator().raw_deallocate(buffer.handle); }

void record_stream(Buffer buffer, int stream) { record(allocator(), buffer.handle, stream); }

void record_foreign(const void* host_pointer, int stream) { record(allocator(), host_pointer, stream); }

void empty_cache() { at::detail::getMPSHooks().emptyCache(); }

size_t allocated_bytes() {
  // What was freed while commands used it counts until somebody looks again.
  allocator().freeInactiveBuffers();
  return allocator().getCurrentAllocatedMemory();
}

uintptr_t address(Buffer buffer) { return static_cast<uintptr_t>([metal_buffer(buffer) gpuAddress]); }

std::vector<uint8_t> read(Buffer buffer) {
  const auto* begin = static_cast<const uint8_t*>([metal_buffer(buffer) contents]);
  if (begin == nullptr) throw Unavailable("reading memory that only the device sees");
  return {begin, begin + buffer.bytes};
}

}  // namespace harness::backend
