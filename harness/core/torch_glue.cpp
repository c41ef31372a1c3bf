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
#include "torch/planted_races.cpp"
#include "torch/substitutes.cpp"
#include "torch/tensors.cpp"

namespace mps_sim {

// The model's copies beside a stream (a fault of its own) have no counterpart in a tree's core.
AttentionScope::AttentionScope() = default;
AttentionScope::~AttentionScope() = default;

// A tree may have one stream: the first planted kernel is on the current one, and the second access is the host's.
std::optional<StreamId> planted_stream(int64_t which) {
  return which == 1 ? std::optional<StreamId>(current_stream()) : std::nullopt;
}

}  // namespace mps_sim
