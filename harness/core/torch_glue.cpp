// The fallback over torch's CPU kernels, which the model has too, in one unit: torch's headers take longer to read than these
// files to compile.
#include "torch/announce.cpp"
#include "torch/attention.cpp"
#include "torch/call.cpp"
#include "torch/fallback.cpp"
#include "torch/fallback_registration.cpp"
#include "torch/graph.cpp"
#include "torch/launch.cpp"
#include "torch/plan.cpp"
#include "torch/substitutes.cpp"
#include "torch/tensors.cpp"

namespace mps_sim {

// The model's copies beside a stream (a fault of its own) have no counterpart in a tree's core.
AttentionScope::AttentionScope() = default;
AttentionScope::~AttentionScope() = default;

}  // namespace mps_sim
