// Before EmptyTensor.cpp alone, whose code is compiled only where `__APPLE__` is defined and `__is_target_os(macOS)` holds. All
// that it includes is included before, so that no header sees the pretence.
#pragma once

#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <ATen/Tensor.h>
#include <ATen/Utils.h>
#include <ATen/detail/MPSHooksInterface.h>
#include <ATen/native/Resize.h>
#include <ATen/native/TensorFactories.h>
#include <torch/library.h>

#include "native_declarations.h"

#define __APPLE__ 1
#undef __is_target_os
#define __is_target_os(name) 1
