// Copies in stream order. A blocking copy from the CPU takes the source's values before it returns; one that does not
// block reads them later, on the stream's thread, and keeps the source alive until then. Three faults live here: a copy
// in two halves on two streams, a copy beside the stream, and a source that is freed while it is still to be read.
#include "copy.h"

#include <ATen/EmptyTensor.h>

#include <algorithm>
#include <vector>

#include "copy_source.h"
#include "launch.h"
#include "side_copies.h"
#include "tensors.h"

namespace mps_sim {

namespace {

StreamId another_stream(StreamId stream) { return stream % 31 + 1; }

struct Side {
  Layout layout;
  MemoryRange memory;
};

Side side_of(const at::Tensor& tensor, StreamId stream) { return {layout_of(tensor), memory_for(tensor, stream)}; }

void submit_copy(StreamId stream, const char* name, Side to, Side from) {
  enqueue(stream, name, [to = std::move(to), from = std::move(from)] {
    copy_values(to.layout, to.memory, read_alias(from.layout, from.memory));
  });
}

// The part of `whole` with the indices `begin` to `end` of one dimension.
Side part_of(const Side& whole, size_t dimension, int64_t begin, int64_t end) {
  Side part = whole;
  part.memory.storage_offset += begin * part.layout.strides[dimension];
  part.layout.sizes[dimension] = end - begin;
  return part;
}

// Lifetimes only: a block must not get another owner before the other stream is done with it.
void keep_blocks_for(StreamId stream, const Side& to, const Side& from) {
  record_stream(to.memory.base, stream);
  record_stream(from.memory.base, stream);
}

// The fault copy_torn: the second half is encoded to another stream, and nobody waits for it.
void copy_torn_on_device(StreamId stream, const Side& to, const Side& from) {
  size_t dimension = 0;
  while (to.layout.sizes[dimension] < 2) ++dimension;
  const int64_t size = to.layout.sizes[dimension];
  submit_copy(stream, "copy_first_half", part_of(to, dimension, 0, size / 2), part_of(from, dimension, 0, size / 2));
  window(Fault::copy_torn);
  keep_blocks_for(another_stream(stream), to, from);
  submit_copy(another_stream(stream), "copy_second_half", part_of(to, dimension, size / 2, size),
              part_of(from, dimension, size / 2, size));
}

// The fault op_pair_order: the copy runs beside the stream, and whoever reads the target waits for it (but attention).
void copy_beside_stream(StreamId stream, const Side& to, const Side& from) {
  const StreamId side = another_stream(stream);
  const uint32_t event = event_acquire(false);
  event_record(event, stream);
  event_wait(event, side);
  event_release(event);
  keep_blocks_for(side, to, from);
  window(Fault::op_pair_order);
  submit_copy(side, "copy_contiguous", to, from);
  note_side_copy(to.memory.base, side);
}

void copy_on_device(const at::Tensor& self, const at::Tensor& source) {
  const StreamId stream = current_stream();
  Side to = side_of(self, stream), from = side_of(source, stream);
  if (self.numel() >= 2 && self.scalar_type() == source.scalar_type() && strikes(Fault::copy_torn)) {
    copy_torn_on_device(stream, to, from);
  } else if (self.is_contiguous() && strikes(Fault::op_pair_order)) {
    copy_beside_stream(stream, to, from);
  } else {
    submit_copy(stream, "copy", std::move(to), std::move(from));
  }
}

void copy_to_device(const at::Tensor& self, const at::Tensor& source, bool non_blocking) {
  const StreamId stream = current_stream();
  Side to = side_of(self, stream);
  if (!non_blocking) {  // The caller may change the source as soon as this returns.
    enqueue(stream, "copy_to_device",
            [to = std::move(to), staged = private_copy(source)] { copy_values(to.layout, to.memory, staged); });
    return;
  }
  const Layout layout = layout_of(source);
  MemoryRange from = memory_of(source);
  if (strikes(Fault::copy_source_freed)) {
    from.owner = order::borrowed({});
    enqueue(stream, "copy_to_device", [to = std::move(to), layout, from] {
      window(Fault::copy_source_freed);
      announce_read(layout, from);
      const std::vector<char> bytes = read_possibly_freed(from.base, from.bytes);
      if (bytes.empty()) return;
      MemoryRange read = from;
      read.base = const_cast<char*>(bytes.data());
      copy_values(to.layout, to.memory, alias(layout, read));
    });
    return;
  }
  std::shared_ptr<void> kept = retain(source.storage());
  from.owner = order::borrowed(kept);
  enqueue(stream, "copy_to_device", [to = std::move(to), layout, from, kept = std::move(kept)] {
    copy_values(to.layout, to.memory, read_alias(layout, from));
  });
}

void copy_to_cpu(const at::Tensor& self, const at::Tensor& source, bool non_blocking) {
  const StreamId stream = current_stream();
  Side from = side_of(source, stream);
  const Layout layout = layout_of(self);
  const MemoryRange to = memory_of(self);
  enqueue(stream, "copy_to_cpu", [layout, to, from = std::move(from), kept = retain(self.storage())] {
    copy_values(layout, to, read_alias(from.layout, from.memory));
  });
  if (!non_blocking) wait_for(stream);
}

}  // namespace

at::Tensor& copy_(at::Tensor& self, const at::Tensor& source, bool non_blocking) {
  MPS_SIM_CALL_FRAME("aten::copy_");
  translated([] { check_not_forked(); });
  release_retained();
  if (self.is_same(source)) return self;
  TORCH_CHECK(self.layout() == c10::kStrided && source.layout() == c10::kStrided,
              "simulated device: only dense tensors can be copied");
  at::Tensor expanded = self.sizes() == source.sizes() ? source : source.expand_as(self);
  if (self.numel() == 0) return self;
  if (expanded._is_zerotensor()) return self.zero_();
  const bool is_same_memory = self.storage().unsafeGetStorageImpl() == expanded.storage().unsafeGetStorageImpl() &&
                              self.storage_offset() == expanded.storage_offset() &&
                              self.strides() == expanded.strides() && self.scalar_type() == expanded.scalar_type() &&
                              self.is_conj() == expanded.is_conj() && self.is_neg() == expanded.is_neg();
  if (is_same_memory) return self;
  translated([&] {
    if (is_on_device(self) && is_on_device(expanded)) {
      copy_on_device(self, expanded);
    } else if (is_on_device(self)) {
      TORCH_CHECK(expanded.device().is_cpu(), "simulated device: no copy from ", expanded.device());
      copy_to_device(self, expanded, non_blocking);
    } else {
      TORCH_CHECK(self.device().is_cpu(), "simulated device: no copy to ", self.device());
      copy_to_cpu(self, expanded, non_blocking);
    }
  });
  return self;
}

at::Tensor copy_from(const at::Tensor& self, const at::Tensor& target, bool non_blocking) {
  at::Tensor writable = target;
  copy_(writable, self, non_blocking);
  return target;
}

at::Tensor copy_from_and_resize(const at::Tensor& self, const at::Tensor& target) {
  if (target.sizes() != self.sizes()) target.resize_(self.sizes());
  return copy_from(self, target, false);
}

c10::Scalar local_scalar_dense(const at::Tensor& self) {
  at::Tensor value = at::detail::empty_cpu(self.sizes(), self.scalar_type());
  copy_(value, self, false);
  return value.item();
}

}  // namespace mps_sim
