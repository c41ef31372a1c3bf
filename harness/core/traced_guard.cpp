// Torch's calls to the tree's device guard, with what they order told to torch's GPU trace: `torch.Event`, the streams of
// autograd's engine, `torch.accelerator`. The tree's own guard answers; no tree calls the trace. The functions of `torch.mps`
// do not come by here, they are the tree's own: `stress.order` wraps those in Python.
#include <c10/core/impl/DeviceGuardImplInterface.h>
#if __has_include(<c10/core/DeviceCapability.h>)
#include <c10/core/DeviceCapability.h>
#define MPS_STRESS_HAS_CAPABILITY
#endif

#include "runtime/order_host.h"
#include "torch/trace.h"

namespace mps_sim {

namespace {

using Interface = c10::impl::DeviceGuardImplInterface;

uint32_t number_of(void* event) { return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(event)); }

// Functions that not every torch's interface has are written without `override`, and asked for: there they are never called.
class TracedGuard final : public Interface {
 public:
  explicit TracedGuard(const Interface& of_tree) : tree_(of_tree) {}

  c10::DeviceType type() const override { return tree_.type(); }
  c10::DeviceIndex deviceCount() const noexcept override { return tree_.deviceCount(); }
  c10::Device getDevice() const override { return tree_.getDevice(); }
  c10::Device exchangeDevice(c10::Device device) const override { return tree_.exchangeDevice(device); }
  void setDevice(c10::Device device) const override { tree_.setDevice(device); }
  void uncheckedSetDevice(c10::Device device) const noexcept override { tree_.uncheckedSetDevice(device); }
#ifdef MPS_STRESS_HAS_CAPABILITY
  c10::DeviceCapability getDeviceCapability(c10::Device device) const override { return tree_.getDeviceCapability(device); }
#endif

  c10::Stream getStream(c10::Device device) const override { return tree_.getStream(device); }
  c10::Stream getDefaultStream(c10::Device device) const override { return tree_.getDefaultStream(device); }
  c10::Stream getStreamFromGlobalPool(c10::Device device, bool is_high_priority) const override {
    return tree_.getStreamFromGlobalPool(device, is_high_priority);
  }
  c10::Stream getNewStream(c10::Device device, int priority) const override { return tree_.getNewStream(device, priority); }
  c10::Stream exchangeStream(c10::Stream stream) const override { return tree_.exchangeStream(stream); }
  void* getStreamNativeHandle(const c10::Stream stream) const {
    return [&](const auto& tree) -> void* {
      if constexpr (requires { tree.getStreamNativeHandle(stream); }) return tree.getStreamNativeHandle(stream);
      return nullptr;
    }(tree_);
  }
  bool isStreamCapturing(const c10::Stream& stream) const {
    return [&](const auto& tree) -> bool {
      if constexpr (requires { tree.isStreamCapturing(stream); }) return tree.isStreamCapturing(stream);
      return false;
    }(tree_);
  }
  void recordDataPtrOnStream(const c10::DataPtr& memory, const c10::Stream& stream) const override {
    tree_.recordDataPtrOnStream(memory, stream);
  }

  bool queryStream(const c10::Stream& stream) const override {
    const bool is_done = tree_.queryStream(stream);
    if (is_done) trace::stream_synchronization(stream.id());
    return is_done;
  }
  void synchronizeStream(const c10::Stream& stream) const override {
    trace::waited([&] { tree_.synchronizeStream(stream); }, [&] { trace::stream_synchronization(stream.id()); });
    order::wait_returned(static_cast<StreamId>(stream.id()), "synchronize");
  }
  void synchronizeDevice(const c10::DeviceIndex device) const override {
    trace::waited([&] { tree_.synchronizeDevice(device); }, trace::device_synchronization);
    order::wait_returned(order::kAllStreams, "synchronize");
  }

  void record(void** event, const c10::Stream& stream, const c10::DeviceIndex device, const c10::EventFlag flag) const override {
    tree_.record(event, stream, device, flag);
    trace::event_record(number_of(*event), stream.id());
  }
  void block(void* event, const c10::Stream& stream) const override {
    tree_.block(event, stream);
    if (event != nullptr) trace::event_wait(number_of(event), stream.id());
  }
  bool queryEvent(void* event) const override {
    const bool is_done = tree_.queryEvent(event);
    if (is_done && event != nullptr) trace::event_synchronization(number_of(event));
    return is_done;
  }
  void synchronizeEvent(void* event) const override {
    tree_.synchronizeEvent(event);
    if (event != nullptr) trace::event_synchronization(number_of(event));
  }
  double elapsedTime(void* start, void* end, const c10::DeviceIndex device) const override {
    const double milliseconds = tree_.elapsedTime(start, end, device);
    trace::event_synchronization(number_of(start));
    trace::event_synchronization(number_of(end));
    return milliseconds;
  }
  void destroyEvent(void* event, const c10::DeviceIndex device) const noexcept override {
    if (event != nullptr) trace::event_deletion(number_of(event));  // Before: somebody else may have it next.
    tree_.destroyEvent(event, device);
  }

 private:
  const Interface& tree_;
};

}  // namespace

// Puts the traced guard in front of the tree's, which has registered itself when its library was loaded.
void trace_guard() {
  auto& registered = c10::impl::device_guard_impl_registry[static_cast<size_t>(kDeviceType)];
  if (const Interface* of_tree = registered.load()) registered.store(new TracedGuard(*of_tree));  // For ever, as all guards.
}

}  // namespace mps_sim
