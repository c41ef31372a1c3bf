// torch's view of the device's memory.
#include <c10/core/Allocator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Stream.h>

#include <cstring>

#include "device_allocator.h"
#include "device_type.h"
#include "errors.h"
#include "launch.h"

namespace mps_sim {

namespace {

void free_on_device(void* pointer) { deallocate(pointer); }

class DeviceAllocator final : public c10::DeviceAllocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* pointer = translated([&] { return mps_sim::allocate(bytes, current_stream()); });
    return {pointer, pointer, &free_on_device, the_device()};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_on_device; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    const StreamId stream = translated([] { return current_stream(); });
    enqueue(stream, "copy_data", [=, owner = order::owner_of(to), from_owner = order::owner_of(from)] {
      order::touch(from_owner, from, bytes, false);
      order::touch(owner, to, bytes, true);
      std::memcpy(to, from, bytes);
    });
  }

  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t) override {
    translated([] { empty_cache(); });
  }
  void recordStream(const c10::DataPtr& memory, c10::Stream stream) override {
    record_stream(memory.get(), static_cast<StreamId>(stream.id()));
  }
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex) override {
    const Memory now = memory();
    c10::CachingDeviceAllocator::DeviceStats statistics;
    statistics.allocated_bytes[0].current = static_cast<int64_t>(now.allocated_bytes);
    statistics.reserved_bytes[0].current = static_cast<int64_t>(now.reserved_bytes);
    return statistics;
  }
  void resetAccumulatedStats(c10::DeviceIndex) override {}
  void resetPeakStats(c10::DeviceIndex) override {}
};

DeviceAllocator the_allocator;
REGISTER_ALLOCATOR(kDeviceType, &the_allocator)

}  // namespace

c10::Allocator* device_allocator() { return &the_allocator; }

}  // namespace mps_sim
