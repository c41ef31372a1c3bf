// How every operator that has no kernel of its own runs on the simulated device.
#pragma once

#include "plan.h"

namespace mps_sim {

// Runs any operator of torch's on the simulated device: asynchronously if its outputs' shapes can be inferred.
void boxed_fallback(const c10::OperatorHandle& op, Stack* stack);

struct CallCounts {
  int64_t asynchronous, synchronous, views;
};
CallCounts call_counts();

}  // namespace mps_sim
