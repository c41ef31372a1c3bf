// Where the planted races of a process under ThreadSanitizer take place: what the model and a tree's core have apart.
#pragma once

#include <optional>

#include "runtime/device.h"

namespace mps_sim {

// The stream of the first (1) or second (2) of two threads; none where only the first has one, and the second works on the host.
std::optional<StreamId> planted_stream(int64_t which);

}  // namespace mps_sim
