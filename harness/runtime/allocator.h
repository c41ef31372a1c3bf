// Device memory: ordinary host memory in blocks of fixed size classes, kept per stream, reused in stream order.
#pragma once

#include <cstddef>

namespace mps_sim {

// Frees what was waiting for other streams. A commit does it while the fault lock_order_inversion is armed (and its
// twin): it is one half of that fault, and harmless without the other.
void visit_allocator_in_commit();

}  // namespace mps_sim
