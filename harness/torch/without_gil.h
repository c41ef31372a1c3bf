// Releases Python's lock around a call that may wait for the device.
#pragma once

#include <utility>

#include "errors.h"
#include "runtime/gil.h"

namespace mps_sim {

// For calls that may wait: some of torch's bindings hold Python's lock.
template <typename Call>
auto without_gil(Call&& call) -> decltype(call()) {
  return translated([&] {
    if (strikes(Fault::wait_holds_gil)) {
      const GilHold gil;
      return call();
    }
    GilRelease no_gil;
    return std::forward<Call>(call)();
  });
}

}  // namespace mps_sim
