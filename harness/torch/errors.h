// The runtime knows no torch: its exceptions become torch's here.
#pragma once

#include <c10/util/Exception.h>

#include <stdexcept>
#include <utility>

#include "runtime/device.h"

namespace mps_sim {

[[noreturn]] inline void throw_device_error(const std::string& text) {
  throw c10::AcceleratorError({__func__, __FILE__, static_cast<uint32_t>(__LINE__)}, -1, text);
}

template <typename Call>
auto translated(Call&& call) -> decltype(call()) {
  try {
    return std::forward<Call>(call)();
  } catch (const OutOfMemory& error) {
    TORCH_CHECK_WITH(OutOfMemoryError, false, error.what());
  } catch (const DeviceError& error) {
    throw_device_error(error.what());
  } catch (const std::invalid_argument& error) {
    TORCH_CHECK_VALUE(false, error.what());
  }
}

}  // namespace mps_sim
