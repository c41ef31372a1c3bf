// Hooks in the shape of at::MPSHooksInterface, with a function before those that libtorch knows; see README.md.
#pragma once

#include <ATen/detail/AcceleratorHooksInterface.h>

namespace at {

struct MPSHooksInterface : AcceleratorHooksInterface {
  ~MPSHooksInterface() override = default;
  virtual void releaseEverything() const = 0;
  virtual bool hasMPS() const = 0;
  virtual void deviceSynchronize() const = 0;
};

namespace detail {
const MPSHooksInterface& getMPSHooks();
} // namespace detail

} // namespace at
