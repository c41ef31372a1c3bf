// Torch's allocator of the host's memory, with a look at what is freed while work of the device still uses it. Metal's buffers over
// the host's memory own nothing: who keeps it until a copy has run is the tree's affair.
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <malloc.h>

#include "runtime/order.h"
#include "runtime/order_host.h"

namespace mps_sim {

namespace {

c10::Allocator* original = nullptr;
c10::DeleterFnPtr free_original = nullptr;

void free_watched(void* memory) {
  if (order::is_host_memory_in_use()) order::host_memory_freed(memory, malloc_usable_size(memory));
  free_original(memory);
}

class WatchedMemory final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    c10::DataPtr memory = original->allocate(bytes);
    if (memory.get() == nullptr || memory.get_deleter() != free_original) return memory;
    const c10::Device device = memory.device();
    void* const data = memory.release_context();
    return {data, data, &free_watched, device};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_watched; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { original->copy_data(to, from, bytes); }
};

}  // namespace

void watch_host_memory() {
  if (original != nullptr || !order::is_on()) return;
  original = c10::GetCPUAllocator();
  free_original = original->raw_deleter();
  if (free_original != nullptr) c10::SetCPUAllocator(new WatchedMemory);  // For ever, as all allocators.
}

}  // namespace mps_sim
