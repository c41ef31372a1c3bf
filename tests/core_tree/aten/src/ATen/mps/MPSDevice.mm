#include <ATen/mps/MPSDevice.h>

namespace at::mps {

MPSDevice* MPSDevice::getInstance() {
  static MPSDevice device;
  return &device;
}

MPSDevice::MPSDevice() : device_(nil) {
  NSArray* devices = MTLCopyAllDevices();
  for (id<MTLDevice> one in devices) {
    device_ = [one retain];
    break;
  }
  [devices release];
}

} // namespace at::mps
