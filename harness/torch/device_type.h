// On which of torch's dispatch keys the simulated device is registered: its own MPS key, or PrivateUse1.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/DispatchKey.h>
#include <torch/version.h>

#ifdef MPS_SIM_PRIVATEUSE1
#define MPS_SIM_KEY PrivateUse1
#define MPS_SIM_AUTOGRAD_KEY AutogradPrivateUse1
#else
#define MPS_SIM_KEY MPS
#define MPS_SIM_AUTOGRAD_KEY AutogradMPS
#endif

#define MPS_SIM_TORCH_AT_LEAST(major, minor) \
  (TORCH_VERSION_MAJOR > (major) || (TORCH_VERSION_MAJOR == (major) && TORCH_VERSION_MINOR >= (minor)))

namespace mps_sim {

inline constexpr c10::DeviceType kDeviceType = c10::DeviceType::MPS_SIM_KEY;
inline constexpr c10::DispatchKey kDispatchKey = c10::DispatchKey::MPS_SIM_KEY;

inline c10::Device the_device() { return {kDeviceType, 0}; }

}  // namespace mps_sim
