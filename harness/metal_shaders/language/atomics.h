// Metal's atomics. All are relaxed, as Metal's are; each tells the runner, which else would take it for an ordinary access.
#pragma once

#include "../abi.h"
#include "types.h"

#define METAL_UNCHECKED __attribute__((no_sanitize("kernel-address"), noinline))

namespace metal {

enum memory_order { memory_order_relaxed = __ATOMIC_RELAXED };
enum thread_scope { thread_scope_thread, thread_scope_simdgroup, thread_scope_threadgroup, thread_scope_device };

template <class T>
struct atomic {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8 || is_same_v<T, bool>, "Metal has no atomic of this type");
  T value;
};
typedef atomic<int> atomic_int;
typedef atomic<uint> atomic_uint;
typedef atomic<bool> atomic_bool;
typedef atomic<float> atomic_float;
typedef atomic<ulong> atomic_ulong;

namespace shim {
template <class T>
METAL_UNCHECKED void note_atomic(const volatile atomic<T>* object, int is_write = 1) {
  auto& self = metal_abi::thread_of(__builtin_frame_address(0));
  self.launch->runtime->atomic(self, const_cast<const T*>(&object->value), sizeof(T), is_write, __builtin_return_address(0));
}
template <class T>
using bits_of_atomic = conditional_t<sizeof(T) == 8, ulong, conditional_t<sizeof(T) == 4, uint, uchar>>;
template <class T>
METAL_UNCHECKED T load(const volatile atomic<T>* object) {
  auto* bits = reinterpret_cast<const volatile bits_of_atomic<T>*>(&object->value);
  return __builtin_bit_cast(T, __atomic_load_n(bits, __ATOMIC_RELAXED));
}
template <class T>
METAL_UNCHECKED bool compare_exchange(volatile atomic<T>* object, T* expected, T desired) {
  auto* bits = reinterpret_cast<volatile bits_of_atomic<T>*>(&object->value);
  auto before = __builtin_bit_cast(bits_of_atomic<T>, *expected);
  bool is_done = __atomic_compare_exchange_n(bits, &before, __builtin_bit_cast(decltype(before), desired), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  *expected = __builtin_bit_cast(T, before);
  return is_done;
}
template <class T, class F>
METAL_UNCHECKED T update(volatile atomic<T>* object, F change) {
  T before = load(object);
  while (!compare_exchange(object, &before, static_cast<T>(change(before)))) {
  }
  return before;
}
}  // namespace shim

template <class T>
inline T atomic_load_explicit(const volatile atomic<T>* object, memory_order) {
  shim::note_atomic(object, 0);
  return shim::load(object);
}
template <class T>
inline bool atomic_compare_exchange_weak_explicit(volatile atomic<T>* object, T* expected, T desired, memory_order, memory_order) {
  shim::note_atomic(object);
  return shim::compare_exchange(object, expected, desired);
}
template <class T, class U>
inline T atomic_exchange_explicit(volatile atomic<T>* object, U desired, memory_order) {
  shim::note_atomic(object);
  T value = static_cast<T>(desired);
  return shim::update(object, [value](T) { return value; });
}
template <class T, class U>
inline void atomic_store_explicit(volatile atomic<T>* object, U desired, memory_order order) {
  atomic_exchange_explicit(object, desired, order);
}
#define METAL_ATOMIC(NAME, VALUE)                                                              \
  template <class T, class U>                                                                  \
  inline T NAME(volatile atomic<T>* object, U operand, memory_order) {                         \
    shim::note_atomic(object);                                                               \
    T b = static_cast<T>(operand);                                                             \
    return shim::update(object, [b](T a) -> T { return static_cast<T>(VALUE); });            \
  }
METAL_ATOMIC(atomic_fetch_add_explicit, a + b)
METAL_ATOMIC(atomic_fetch_sub_explicit, a - b)
METAL_ATOMIC(atomic_fetch_and_explicit, a & b)
METAL_ATOMIC(atomic_fetch_or_explicit, a | b)
METAL_ATOMIC(atomic_fetch_xor_explicit, a ^ b)
METAL_ATOMIC(atomic_fetch_max_explicit, a > b ? a : b)
METAL_ATOMIC(atomic_fetch_min_explicit, a < b ? a : b)
METAL_ATOMIC(atomic_max_explicit, a > b ? a : b)
METAL_ATOMIC(atomic_min_explicit, a < b ? a : b)
#undef METAL_ATOMIC

}  // namespace metal
