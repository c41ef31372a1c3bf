// What nearly every source of a tree's core includes, read by the compiler once for all of them. torch's own headers and the
// simulated macOS only: none of the tree's.
#pragma once

#include <simulated/macos.h>

#include <ATen/ATen.h>
#include <MetalPerformanceShadersGraph/MetalPerformanceShadersGraph.h>
#include <torch/library.h>
