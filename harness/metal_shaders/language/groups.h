// Barriers, SIMD groups and their matrices. Lanes exchange values through slots of their own, which the others read after all have
// met; two slots in turn, so that a lane that goes ahead does not overwrite what another has still to read.
#pragma once

#include "atomics.h"
#include "math.h"

namespace metal {

enum class mem_flags { mem_none = 0, mem_device = 1, mem_threadgroup = 2, mem_texture = 4, mem_threadgroup_imageblock = 8, mem_object_data = 16 };
constexpr mem_flags operator|(mem_flags a, mem_flags b) { return static_cast<mem_flags>(static_cast<int>(a) | static_cast<int>(b)); }

namespace shim {

// A call that must not be copied, nor become one with another: who meets whom is decided by the place of the call.
#define METAL_MEETING __attribute__((convergent, noduplicate, nomerge, noinline, no_sanitize("kernel-address")))

METAL_UNCHECKED inline metal_abi::Thread& self() { return metal_abi::thread_of(__builtin_frame_address(0)); }

METAL_MEETING inline void barrier(unsigned flags) {
  auto& thread = self();
  thread.launch->runtime->barrier(thread, flags, __builtin_return_address(0));
}

METAL_MEETING inline void meet() {
  auto& thread = self();
  thread.launch->runtime->meet(thread, __builtin_return_address(0));
}

// Meets with `value` in this lane's slot; returns which of the two slots the values of this meeting are in.
METAL_MEETING inline unsigned meet_with(const void* value, unsigned bytes) {
  auto& thread = self();
  unsigned turn = thread.simd->meets & 1;
  __builtin_memcpy(thread.slots[turn], value, bytes);
  thread.launch->runtime->meet(thread, __builtin_return_address(0));
  return turn;
}

METAL_UNCHECKED inline void read_slot(unsigned lane, unsigned turn, void* value, unsigned bytes) {
  __builtin_memcpy(value, self().lanes[lane]->slots[turn], bytes);
}

METAL_UNCHECKED inline unsigned active_lanes() { return self().simd->active; }

METAL_UNCHECKED inline unsigned lane() { return self().index % metal_abi::kSimdWidth; }

// Metal leaves undefined what is read from a lane that did not meet: here it is a value that shows.
METAL_UNCHECKED inline void scribble(void* value, unsigned bytes) { __builtin_memset(value, 0xff, bytes); }

// The values of one meeting.
template <class T>
struct Met {
  static_assert(sizeof(T) <= metal_abi::kSlotBytes, "SIMD groups do not exchange values of this size");
  unsigned turn, active;

  __attribute__((always_inline)) explicit Met(const T& value) : turn(meet_with(&value, sizeof(T))), active(active_lanes()) {}

  bool has(unsigned lane) const { return lane < metal_abi::kSimdWidth && (active >> lane & 1); }
  T of(unsigned lane) const {
    T value;
    if (has(lane)) read_slot(lane, turn, &value, sizeof(T));
    else scribble(&value, sizeof(T));
    return value;
  }
  unsigned first() const { return static_cast<unsigned>(__builtin_ctz(active)); }

  template <class F>
  T reduced(F combine, unsigned lanes) const {
    lanes &= active;
    T result = of(static_cast<unsigned>(__builtin_ctz(lanes)));
    for (lanes &= lanes - 1; lanes != 0; lanes &= lanes - 1) result = static_cast<T>(combine(result, of(static_cast<unsigned>(__builtin_ctz(lanes)))));
    return result;
  }
};


}  // namespace shim

// The functions that meet are inlined into the kernel: the place of the call is the kernel's.
#define METAL_SIMD __attribute__((always_inline)) inline

METAL_SIMD void threadgroup_barrier(mem_flags flags) { shim::barrier(static_cast<unsigned>(flags)); }
METAL_SIMD void simdgroup_barrier(mem_flags) { shim::meet(); }
METAL_SIMD void atomic_thread_fence(mem_flags, memory_order, thread_scope = thread_scope_device) {}

template <class T>
METAL_SIMD T simd_shuffle(T value, ushort from) {
  return shim::Met<T>(value).of(from);
}
template <class T>
METAL_SIMD T simd_broadcast(T value, ushort from) {
  return shim::Met<T>(value).of(from);
}
template <class T>
METAL_SIMD T simd_broadcast_first(T value) {
  shim::Met<T> met(value);
  return met.of(met.first());
}
template <class T>
METAL_SIMD T simd_shuffle_xor(T value, ushort mask) {
  return shim::Met<T>(value).of(shim::lane() ^ mask);
}
template <class T>
METAL_SIMD T simd_shuffle_down(T value, ushort by) {
  shim::Met<T> met(value);
  unsigned from = shim::lane() + by;
  return from < metal_abi::kSimdWidth ? met.of(from) : value;
}
template <class T>
METAL_SIMD T simd_shuffle_up(T value, ushort by) {
  shim::Met<T> met(value);
  return shim::lane() >= by ? met.of(shim::lane() - by) : value;
}
template <class T>
METAL_SIMD T simd_shuffle_and_fill_down(T value, T filling, ushort by) {
  shim::Met<T> met(value), fill(filling);
  unsigned from = shim::lane() + by;
  return from < metal_abi::kSimdWidth ? met.of(from) : fill.of(from - metal_abi::kSimdWidth);
}
template <class T>
METAL_SIMD T simd_shuffle_and_fill_up(T value, T filling, ushort by) {
  shim::Met<T> met(value), fill(filling);
  return shim::lane() >= by ? met.of(shim::lane() - by) : fill.of(metal_abi::kSimdWidth + shim::lane() - by);
}
template <class T>
METAL_SIMD T simd_shuffle_rotate_down(T value, ushort by) {
  return shim::Met<T>(value).of((shim::lane() + by) % metal_abi::kSimdWidth);
}
template <class T>
METAL_SIMD T simd_shuffle_rotate_up(T value, ushort by) {
  return shim::Met<T>(value).of((shim::lane() + metal_abi::kSimdWidth - by % metal_abi::kSimdWidth) % metal_abi::kSimdWidth);
}

#define METAL_REDUCTION(NAME, VALUE)                                                                                  \
  template <class T>                                                                                                  \
  METAL_SIMD T NAME(T value) {                                                                                        \
    return shim::Met<T>(value).reduced([](T a, T b) { return VALUE; }, ~0u);                                        \
  }
METAL_REDUCTION(simd_sum, a + b)
METAL_REDUCTION(simd_product, a * b)
METAL_REDUCTION(simd_max, metal::max(a, b))
METAL_REDUCTION(simd_min, metal::min(a, b))
METAL_REDUCTION(simd_and, a & b)
METAL_REDUCTION(simd_or, a | b)
METAL_REDUCTION(simd_xor, a ^ b)
#undef METAL_REDUCTION

#define METAL_PREFIX(NAME, VALUE, NEUTRAL)                                                                            \
  template <class T>                                                                                                  \
  METAL_SIMD T simd_prefix_inclusive_##NAME(T value) {                                                                \
    return shim::Met<T>(value).reduced([](T a, T b) { return VALUE; }, ~0u >> (31 - shim::lane()));               \
  }                                                                                                                   \
  template <class T>                                                                                                  \
  METAL_SIMD T simd_prefix_exclusive_##NAME(T value) {                                                                \
    shim::Met<T> met(value);                                                                                        \
    unsigned before = (1u << shim::lane()) - 1;                                                                     \
    return (before & met.active) == 0 ? T(NEUTRAL) : met.reduced([](T a, T b) { return VALUE; }, before);             \
  }
METAL_PREFIX(sum, a + b, 0)
METAL_PREFIX(product, a * b, 1)
#undef METAL_PREFIX

METAL_SIMD bool simd_any(bool value) {
  return shim::Met<bool>(value).reduced([](bool a, bool b) { return a || b; }, ~0u);
}
METAL_SIMD bool simd_all(bool value) {
  return shim::Met<bool>(value).reduced([](bool a, bool b) { return a && b; }, ~0u);
}
METAL_SIMD bool simd_is_first() {
  shim::meet();
  return shim::lane() == static_cast<unsigned>(__builtin_ctz(shim::active_lanes()));
}

struct simd_vote {
  typedef ulong vote_t;
  ulong bits, lanes;
  explicit constexpr operator vote_t() const { return bits; }
  constexpr bool all() const { return bits == lanes; }
  constexpr bool any() const { return bits != 0; }
};
METAL_SIMD simd_vote simd_ballot(bool value) {
  shim::Met<bool> met(value);
  ulong bits = 0;
  for (unsigned lane = 0; lane < metal_abi::kSimdWidth; ++lane) {
    if (met.has(lane) && met.of(lane)) bits |= 1ul << lane;
  }
  return {bits, met.active};
}
METAL_SIMD simd_vote simd_active_threads_mask() { return simd_ballot(true); }

// ---- matrices of a SIMD group: each lane holds two elements, in the order of Apple's GPUs.
template <class T, int C, int R>
struct simdgroup_matrix {
  static_assert(C == 8 && R == 8, "Metal has matrices of 8 by 8");
  vec<T, 2> elements;

  simdgroup_matrix() = default;
  explicit simdgroup_matrix(T diagonal);
  vec<T, 2>& thread_elements() { return elements; }
  const vec<T, 2>& thread_elements() const { return elements; }
};
typedef simdgroup_matrix<float, 8, 8> simdgroup_float8x8;
typedef simdgroup_matrix<half, 8, 8> simdgroup_half8x8;
typedef simdgroup_matrix<bfloat, 8, 8> simdgroup_bfloat8x8;

namespace shim {
inline unsigned row_of(unsigned lane) { return ((lane / 4) & 4) + (lane / 2) % 4; }
inline unsigned column_of(unsigned lane) { return ((lane / 4) & 2) * 2 + (lane % 2) * 2; }

inline unsigned lane_of(unsigned row, unsigned column) {
  return (row >> 2 & 1) << 4 | (column >> 2 & 1) << 3 | (row & 3) << 1 | (column >> 1 & 1);
}

template <class A, class B>
struct Factors {
  vec<A, 2> left;
  vec<B, 2> right;
};

METAL_UNCHECKED inline void require_all(unsigned active) {
  auto& thread = self();
  if (active != ~0u) thread.launch->runtime->fail(thread, "a matrix of a SIMD group in which not all 32 lanes take part", __builtin_return_address(0));
}
}  // namespace shim

template <class T, int C, int R>
inline simdgroup_matrix<T, C, R>::simdgroup_matrix(T diagonal) : elements(T(0)) {
  unsigned row = shim::row_of(shim::lane()), column = shim::column_of(shim::lane());
  if (row - column < 2) elements[static_cast<int>(row - column)] = diagonal;
}

template <class T, int C, int R = C>
inline simdgroup_matrix<T, C, R> make_filled_simdgroup_matrix(T value) {
  simdgroup_matrix<T, C, R> filled;
  filled.elements = vec<T, 2>(value);
  return filled;
}

namespace shim {
template <class U>
inline U& element(U* from, unsigned row, unsigned column, ulong per_row, ulong2 origin, bool is_transposed) {
  return is_transposed ? from[(origin.y + column) * per_row + origin.x + row] : from[(origin.y + row) * per_row + origin.x + column];
}
}  // namespace shim

// Loading and storing need all lanes, as the others do: they meet before they touch memory, so that a lane of another SIMD group
// may come between.
template <class T, int C, int R, class U>
METAL_SIMD void simdgroup_load(simdgroup_matrix<T, C, R>& to, const U* from, ulong per_row = C, ulong2 origin = ulong2(0), bool is_transposed = false) {
  shim::meet();
  shim::require_all(shim::active_lanes());
  unsigned row = shim::row_of(shim::lane()), column = shim::column_of(shim::lane());
  for (int i = 0; i < 2; ++i) to.elements[i] = static_cast<T>(shim::element(from, row, column + i, per_row, origin, is_transposed));
}
template <class T, int C, int R, class U>
METAL_SIMD void simdgroup_store(const simdgroup_matrix<T, C, R>& from, U* to, ulong per_row = C, ulong2 origin = ulong2(0), bool is_transposed = false) {
  shim::meet();
  shim::require_all(shim::active_lanes());
  unsigned row = shim::row_of(shim::lane()), column = shim::column_of(shim::lane());
  for (int i = 0; i < 2; ++i) shim::element(to, row, column + i, per_row, origin, is_transposed) = static_cast<U>(from.elements[i]);
}

template <class D, class A, class B, class S>
METAL_SIMD void simdgroup_multiply_accumulate(simdgroup_matrix<D, 8, 8>& to, const simdgroup_matrix<A, 8, 8>& a, const simdgroup_matrix<B, 8, 8>& b,
                                              const simdgroup_matrix<S, 8, 8>& c) {
  shim::Met<shim::Factors<A, B>> met({a.elements, b.elements});
  shim::require_all(met.active);
  unsigned row = shim::row_of(shim::lane()), column = shim::column_of(shim::lane());
  float sums[2] = {static_cast<float>(c.elements[0]), static_cast<float>(c.elements[1])};
  for (unsigned k = 0; k < 8; k += 2) {
    vec<A, 2> left = met.of(shim::lane_of(row, k)).left;
    for (unsigned i = 0; i < 2; ++i) {
      vec<B, 2> right = met.of(shim::lane_of(k + i, column)).right;
      for (int of = 0; of < 2; ++of) sums[of] += static_cast<float>(left[static_cast<int>(i)]) * static_cast<float>(right[of]);
    }
  }
  for (int of = 0; of < 2; ++of) to.elements[of] = static_cast<D>(sums[of]);
}
template <class D, class A, class B>
METAL_SIMD void simdgroup_multiply(simdgroup_matrix<D, 8, 8>& to, const simdgroup_matrix<A, 8, 8>& a, const simdgroup_matrix<B, 8, 8>& b) {
  simdgroup_multiply_accumulate(to, a, b, make_filled_simdgroup_matrix<D, 8, 8>(D(0)));
}

}  // namespace metal
