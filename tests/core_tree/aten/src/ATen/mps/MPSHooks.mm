#include <ATen/detail/MPSHooksInterface.h>
#include <ATen/mps/MPSDevice.h>
#include <ATen/mps/MPSStream.h>

namespace at {

namespace mps {

struct MPSHooks final : MPSHooksInterface {
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  void releaseEverything() const override { TORCH_CHECK(false, "libtorch called the wrong function"); }
  bool hasMPS() const override { return MPSDevice::getInstance()->device() != nil; }
  void deviceSynchronize() const override { getDefaultMPSStream()->synchronize(); }
};

} // namespace mps

namespace detail {

const MPSHooksInterface& getMPSHooks() {
  static mps::MPSHooks hooks;
  return hooks;
}

} // namespace detail

} // namespace at
