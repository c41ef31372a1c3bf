// Streams and events of the device, as torch.Stream, torch.Event and the autograd engine use them.
#include <c10/core/Allocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include "device_type.h"
#include "trace.h"
#include "without_gil.h"

namespace mps_sim {

namespace {

c10::Stream to_torch(StreamId stream) {
  return c10::Stream(c10::Stream::UNSAFE, the_device(), stream);
}
StreamId from_torch(const c10::Stream& stream) { return static_cast<StreamId>(stream.id()); }
uint32_t from_torch(void* event) { return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(event)); }

class DeviceGuard final : public c10::impl::DeviceGuardImplInterface {
 public:
  c10::DeviceType type() const override { return kDeviceType; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  c10::Device getDevice() const override { return the_device(); }
  c10::Device exchangeDevice(c10::Device) const override { return the_device(); }
  void setDevice(c10::Device device) const override {
    TORCH_CHECK(device.index() <= 0, "simulated device: there is one device, not ", device);
  }
  void uncheckedSetDevice(c10::Device) const noexcept override {}

  c10::Stream getStream(c10::Device) const override {
    return translated([] { return to_torch(current_stream()); });
  }
  c10::Stream getDefaultStream(c10::Device) const override { return to_torch(0); }
  c10::Stream getStreamFromGlobalPool(c10::Device, bool) const override {
    return translated([] { return to_torch(new_stream()); });
  }
  c10::Stream getNewStream(c10::Device, int) const override {
    return translated([] { return to_torch(new_stream()); });
  }
  c10::Stream exchangeStream(c10::Stream stream) const override {
    return translated([&] { return to_torch(exchange_current_stream(from_torch(stream))); });
  }
  bool queryStream(const c10::Stream& stream) const override {
    const bool is_done = translated([&] { return query(from_torch(stream)); });
    if (is_done) trace::stream_synchronization(from_torch(stream));
    return is_done;
  }
  void synchronizeStream(const c10::Stream& stream) const override {
    trace::waited([&] { without_gil([&] { synchronize(from_torch(stream)); }); },
                  [&] { trace::stream_synchronization(from_torch(stream)); });
  }
  void synchronizeDevice(c10::DeviceIndex) const override {
    trace::waited([] { without_gil([] { synchronize_all(); }); }, trace::device_synchronization);
  }
  void recordDataPtrOnStream(const c10::DataPtr& memory, const c10::Stream& stream) const override {
    without_gil([&] { record_stream(memory.get(), from_torch(stream)); });
  }

  void record(void** event, const c10::Stream& stream, c10::DeviceIndex, c10::EventFlag flag) const override {
    without_gil([&] {
      if (*event == nullptr) {
        uintptr_t handle = event_acquire(flag == c10::EventFlag::BACKEND_DEFAULT);
        *event = reinterpret_cast<void*>(handle);
      }
      event_record(from_torch(*event), from_torch(stream));
    });
    trace::event_record(from_torch(*event), from_torch(stream));
  }
  void block(void* event, const c10::Stream& stream) const override {
    if (event == nullptr) return;
    without_gil([&] { event_wait(from_torch(event), from_torch(stream)); });
    trace::event_wait(from_torch(event), from_torch(stream));
  }
  bool queryEvent(void* event) const override {
    if (event == nullptr) return true;
    const bool is_done = translated([&] { return event_query(from_torch(event)); });
    if (is_done) trace::event_synchronization(from_torch(event));
    return is_done;
  }
  void synchronizeEvent(void* event) const override {
    if (event == nullptr) return;
    trace::waited([&] { without_gil([&] { event_synchronize(from_torch(event)); }); },
                  [&] { trace::event_synchronization(from_torch(event)); });
  }
  double elapsedTime(void* start, void* end, c10::DeviceIndex) const override {
    TORCH_CHECK(start != nullptr && end != nullptr, "Both events must be recorded before calculating elapsed time.");
    const double milliseconds = without_gil([&] { return event_elapsed_ms(from_torch(start), from_torch(end)); });
    trace::event_synchronization(from_torch(start));
    trace::event_synchronization(from_torch(end));
    return milliseconds;
  }
  void destroyEvent(void* event, c10::DeviceIndex) const noexcept override {
    if (event == nullptr) return;
    try {
      trace::event_deletion(from_torch(event));  // Before: somebody else may have it next.
      event_release(from_torch(event));
    } catch (const std::exception&) {
      // An event that the pool does not know is as good as released.
    }
  }
};

C10_REGISTER_GUARD_IMPL(MPS_SIM_KEY, DeviceGuard)

}  // namespace

}  // namespace mps_sim
