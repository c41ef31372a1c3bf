// The Metal Shading Language as C++: comes before the translated text of a library.
#pragma once

#define METAL_HOST_CPLUSPLUS 1

#include "groups.h"

using namespace metal;  // As with Metal's own headers, some of whose names are used without it.

#define kernel
#define device
#define constant const
#define thread
#define threadgroup
#define METAL_FUNC inline __attribute__((always_inline))
#define METAL_CONST_ARG(X)

namespace metal {
namespace shim {
// Memory of a threadgroup that is declared in a kernel: one for all its threads.
template <class T>
METAL_UNCHECKED inline T& variable(unsigned declaration) {
  auto& thread_ = self();
  return *static_cast<T*>(thread_.launch->runtime->variable(thread_, declaration, sizeof(T)));
}
}  // namespace shim
}  // namespace metal
