// Linear and LayerNorm, with the faults that share one buffer of the device between streams.
#pragma once

#include "plan.h"

namespace mps_sim {

void linear(const c10::OperatorHandle& op, Stack* stack);
void layer_norm(const c10::OperatorHandle& op, Stack* stack);

}  // namespace mps_sim
