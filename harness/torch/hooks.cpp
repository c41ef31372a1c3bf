// What torch asks a backend as a whole: torch.mps.*, torch.backends.mps, generators.
#ifdef MPS_SIM_PRIVATEUSE1
#include <ATen/detail/PrivateUse1HooksInterface.h>
#else
#include <ATen/detail/MPSHooksInterface.h>
#endif

#include <unistd.h>

#include <algorithm>

#include "device_allocator.h"
#include "device_type.h"
#include "generator.h"
#include "trace.h"
#include "without_gil.h"

namespace mps_sim {

namespace {

#ifdef MPS_SIM_PRIVATEUSE1
using HooksInterface = at::PrivateUse1HooksInterface;
#else
using HooksInterface = at::MPSHooksInterface;
#endif

size_t recommended_bytes() {  // As Metal recommends: about two thirds of the machine's memory.
  return static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGE_SIZE)) / 3 * 2;
}

class CommonHooks : public HooksInterface {
 public:
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  void init() const override {}
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(c10::DeviceIndex) const override {}
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const override { return 0; }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return 0; }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override { return default_generator(); }
  at::Generator getNewGenerator(c10::DeviceIndex) const override { return new_generator(); }
  bool isPinnedPtr(const void*) const override { return false; }
  c10::Allocator* getPinnedMemoryAllocator() const override { return c10::GetAllocator(c10::DeviceType::CPU); }
  c10::Device getDeviceFromPtr(void*) const override { return the_device(); }
};

#ifdef MPS_SIM_PRIVATEUSE1

class Hooks final : public CommonHooks {
 public:
  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t bytes) const override {
    at::DataPtr grown = device_allocator()->allocate(bytes);
    const size_t kept_bytes = std::min(bytes, storage.nbytes());
    if (kept_bytes > 0) device_allocator()->copy_data(grown.get(), storage.data(), kept_bytes);
    storage.unsafeGetStorageImpl()->set_data_ptr_noswap(std::move(grown));
    storage.unsafeGetStorageImpl()->set_nbytes(bytes);
  }
};

const bool is_registered = [] {
  at::RegisterPrivateUse1HooksInterface(new Hooks);
  return true;
}();

#else

class Hooks final : public CommonHooks {
 public:
  Hooks() = default;
  explicit Hooks(at::MPSHooksArgs) {}  // As torch 2.9 calls it.
  bool hasMPS() const override { return true; }
  bool isOnMacOSorNewer(unsigned, unsigned) const override { return true; }  // Nothing is left out for an old macOS.
  c10::Allocator* getMPSDeviceAllocator() const override { return device_allocator(); }

  void deviceSynchronize() const override {
    trace::waited([] { without_gil([] { synchronize_all(); }); }, trace::device_synchronization);
  }
  void commitStream() const override {
    without_gil([] { commit(current_stream()); });
  }
  void emptyCache() const override {
    without_gil([] { empty_cache(); });
  }
  size_t getCurrentAllocatedMemory() const override { return memory().allocated_bytes; }
  size_t getDriverAllocatedMemory() const override { return memory().reserved_bytes; }
  size_t getRecommendedMaxMemory() const override { return recommended_bytes(); }
  // There is no Instruments that could take a trace: it begins and ends, and nothing is written.
  void profilerStartTrace(const std::string& mode, bool) const override {
    TORCH_CHECK(mode.find("event") != std::string::npos || mode.find("interval") != std::string::npos,
                "the trace's mode is \"interval\", \"event\" or both, and not ", mode);
  }
  void profilerStopTrace() const override {}
  void setMemoryFraction(double ratio) const override {
    set_memory_limit(static_cast<size_t>(ratio * static_cast<double>(recommended_bytes())));
  }

  uint32_t acquireEvent(bool timing) const override {
    const uint32_t event = translated([&] { return event_acquire(timing); });
    trace::event_creation(event);
    return event;
  }
  void releaseEvent(uint32_t event) const override {
    trace::event_deletion(event);  // Before: somebody else may have it next.
    translated([&] { event_release(event); });
  }
  void recordEvent(uint32_t event) const override {
    const StreamId stream = translated([] { return current_stream(); });
    without_gil([&] { event_record(event, stream); });
    trace::event_record(event, stream);
  }
  void waitForEvent(uint32_t event) const override {
    const StreamId stream = translated([] { return current_stream(); });
    without_gil([&] { event_wait(event, stream); });
    trace::event_wait(event, stream);
  }
  void synchronizeEvent(uint32_t event) const override {
    trace::waited([&] { without_gil([&] { event_synchronize(event); }); }, [&] { trace::event_synchronization(event); });
  }
  bool queryEvent(uint32_t event) const override {
    const bool is_done = translated([&] { return event_query(event); });
    if (is_done) trace::event_synchronization(event);
    return is_done;
  }
  double elapsedTimeOfEvents(uint32_t start, uint32_t end) const override {
    const double milliseconds = without_gil([&] { return event_elapsed_ms(start, end); });
    trace::event_synchronization(start);
    trace::event_synchronization(end);
    return milliseconds;
  }
};

#endif

}  // namespace

}  // namespace mps_sim

#ifndef MPS_SIM_PRIVATEUSE1
namespace at {
C10_REGISTER_CLASS(MPSHooksRegistry, MPSHooks, mps_sim::Hooks)
}
#endif
