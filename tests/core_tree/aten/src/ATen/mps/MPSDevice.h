// A device in the shape of at::mps::MPSDevice; see README.md.
#pragma once

#include <Metal/Metal.h>

namespace at::mps {

class MPSDevice {
 public:
  static MPSDevice* getInstance();

  id<MTLDevice> device() const { return device_; }

 private:
  MPSDevice();

  id<MTLDevice> device_;
};

} // namespace at::mps
