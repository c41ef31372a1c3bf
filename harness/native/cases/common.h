// What several cases do.
#pragma once

#include <string>

#include "native/backend.h"
#include "native/crew.h"
#include "native/invariants.h"

namespace harness {

// Whether every byte of the buffer has this value, by a read on the host. The work must have been waited for.
inline bool expect_filled(backend::Buffer buffer, uint8_t value, const char* invariant) {
  for (uint8_t byte : backend::read(buffer)) {
    if (byte == value) continue;
    violation(invariant, "found " + std::to_string(byte) + " where only " + std::to_string(value) + " was written");
    return false;
  }
  return true;
}

// Work that keeps a stream busy, so that what is queued behind it is still to come for a while. It sleeps, as the host does
// while a GPU works.
void keep_busy(int stream, int microseconds);

// An explicit stream, selected for the calling thread; its current one where there is no other.
int select_own_stream();

// An explicit stream that is not `own`.
int other_stream(int own);

}  // namespace harness
