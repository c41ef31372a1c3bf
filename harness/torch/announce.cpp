// Tells what memory kernels touch. Without ThreadSanitizer that is a range; with it, piece by piece.
//
// Tells ThreadSanitizer what memory kernels touch, piece by piece. torch's CPU kernels are not instrumented: two of them
// on one tensor would give no report. What they and torch's caches do inside is ignored, since its order is made by code
// that nobody sees, and would be reported as races.
#include "announce.h"

#ifndef MPS_SIM_TSAN

namespace mps_sim {

namespace {

// From the first byte to the last: the device orders whole operations, so that gaps between them make no difference.
void announce(const Layout& layout, const MemoryRange& memory, bool is_write) {
  if (memory.owner == nullptr) return;
  int64_t last = 0;
  for (size_t dimension = 0; dimension < layout.sizes.size(); ++dimension) {
    if (layout.sizes[dimension] == 0) return;
    last += (layout.sizes[dimension] - 1) * layout.strides[dimension];
  }
  const auto item_bytes = static_cast<int64_t>(c10::elementSize(layout.dtype));
  order::touch(memory.owner, static_cast<const char*>(memory.base) + memory.storage_offset * item_bytes,
               static_cast<size_t>((last + 1) * item_bytes), is_write);
}

}  // namespace

void announce_read(const Layout& layout, const MemoryRange& memory) { announce(layout, memory, false); }
void announce_write(const Layout& layout, const MemoryRange& memory) { announce(layout, memory, true); }

}  // namespace mps_sim

#else

#include <c10/core/ScalarType.h>
#include <c10/util/SmallVector.h>

#include <algorithm>

extern "C" {
void __tsan_release(void* address);
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}

namespace mps_sim {

namespace {

constexpr int64_t kPiecesMax = 4096;  // More of a strided tensor are left out: each takes room in TSan's history.

thread_local Step this_step;

struct Axis {
  int64_t size, step;  // In bytes.
};

using Axes = c10::SmallVector<Axis, 6>;

// Those that touch more memory, from the smallest step; empty and false where the tensor is empty.
bool axes_of(const Layout& layout, int64_t item_bytes, Axes& axes) {
  for (size_t dimension = 0; dimension < layout.sizes.size(); ++dimension) {
    const int64_t size = layout.sizes[dimension], stride = layout.strides[dimension];
    if (size == 0) return false;
    if (size > 1 && stride != 0) axes.push_back({size, stride * item_bytes});
  }
  std::sort(axes.begin(), axes.end(), [](const Axis& a, const Axis& b) { return a.step < b.step; });
  return true;
}

// Exactly the bytes of a strided tensor: two threads may work on different columns of one matrix.
void announce(const Layout& layout, const MemoryRange& memory, bool is_write) {
  const auto item_bytes = static_cast<int64_t>(c10::elementSize(layout.dtype));
  Axes axes;
  if (memory.base == nullptr || !axes_of(layout, item_bytes, axes)) return;
  int64_t piece_bytes = item_bytes;
  size_t inner = 0;
  while (inner < axes.size() && axes[inner].step == piece_bytes) piece_bytes *= axes[inner++].size;
  char* begin = static_cast<char*>(memory.base) + memory.storage_offset * item_bytes;
  c10::SmallVector<int64_t, 6> index(axes.size() - inner, 0);
  for (int64_t pieces = 0; pieces < kPiecesMax; ++pieces) {
    announce_bytes(begin, static_cast<size_t>(piece_bytes), is_write);
    size_t turning = 0;
    for (; turning < index.size(); ++turning) {
      const Axis& axis = axes[inner + turning];
      begin += axis.step;
      if (++index[turning] < axis.size) break;
      begin -= axis.step * axis.size;
      index[turning] = 0;
    }
    if (turning == index.size()) return;
  }
}

}  // namespace

void note_step(Step step) {
  this_step = step;
  if (mps_stress_in_flight_step != nullptr) mps_stress_in_flight_step(step.thread, step.iteration);
}

void announce_read(const Layout& layout, const MemoryRange& memory) { announce(layout, memory, false); }
void announce_write(const Layout& layout, const MemoryRange& memory) { announce(layout, memory, true); }

void put_down(c10::Storage* storage) {
  void* const blocks[] = {const_cast<void*>(storage->data()), storage->unsafeGetStorageImpl()};
  for (void* block : blocks) {
    if (block != nullptr) __tsan_release(block);
  }
  // The count itself is decremented after that, and would race with a free that does not see it.
  const Announced announced;
  delete storage;
}

Announced::Announced() {
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}

Announced::~Announced() {
  AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}

KernelOrigin::KernelOrigin(const char* operation, StreamId stream)
    : operation_(operation), stream_(stream), step_(this_step) {}

void KernelOrigin::note_begin() const {
  if (mps_stress_in_flight_kernel != nullptr) {
    mps_stress_in_flight_kernel(operation_, stream_, step_.thread, step_.iteration);
  }
}

void KernelOrigin::note_end() {
  if (mps_stress_in_flight_kernel != nullptr) mps_stress_in_flight_kernel(nullptr, -1, -1, -1);
}

}  // namespace mps_sim

#endif
