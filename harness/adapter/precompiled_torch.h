// All of torch's operators, which take longer to read than any source of ours or of a tree's takes to compile: read once for the
// fallback, the interpreter of graphs, and the tree's sources in C++ that include them. Not what torch has for Python: pybind11's
// functions would be compiled in each of these units.
#pragma once

#include <simulated/macos.h>

#include <ATen/ATen.h>
#include <ATen/core/jit_type.h>
#include <ATen/native/Resize.h>
#include <ATen/native/TensorFactories.h>
#include <MetalPerformanceShadersGraph/MetalPerformanceShadersGraph.h>
#include <torch/library.h>
