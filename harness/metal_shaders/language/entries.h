// How a kernel's parameters are made for one thread, and the library's table. Comes after the translated text.
#pragma once

#undef kernel
#undef device
#undef constant
#undef thread
#undef threadgroup

namespace metal {
namespace shim {

enum class Kind {
  buffer,
  threadgroup,
  dispatch_simdgroups_per_threadgroup,
  dispatch_threads_per_threadgroup,
  simdgroup_index_in_threadgroup,
  simdgroups_per_threadgroup,
  thread_execution_width,
  thread_index_in_simdgroup,
  thread_index_in_threadgroup,
  thread_position_in_grid,
  thread_position_in_threadgroup,
  threadgroup_position_in_grid,
  threadgroups_per_grid,
  threads_per_grid,
  threads_per_simdgroup,
  threads_per_threadgroup,
};

inline unsigned product(const unsigned (&size)[3]) { return size[0] * size[1] * size[2]; }
inline unsigned simdgroups(const unsigned (&size)[3]) { return (product(size) + metal_abi::kSimdWidth - 1) / metal_abi::kSimdWidth; }

template <class T>
METAL_UNCHECKED inline T of_three(const unsigned (&value)[3]) {
  if constexpr (width<T> == 1) {
    return static_cast<T>(value[0]);
  } else {
    T result;
    for (int i = 0; i < width<T>; ++i) result[i] = static_cast<typename T::value_type>(value[i]);
    return result;
  }
}

template <class P, Kind kind, unsigned index>
METAL_UNCHECKED inline P parameter(metal_abi::Thread& self) {
  using namespace metal_abi;
  const Launch& launch = *self.launch;
  if constexpr (kind == Kind::buffer || kind == Kind::threadgroup) {
    void* memory = kind == Kind::buffer ? launch.buffers[index] : launch.memory[index];
    if constexpr (std::is_reference_v<P>) {
      return *static_cast<std::remove_reference_t<P>*>(memory);
    } else {
      static_assert(std::is_pointer_v<P>, "a buffer is a pointer or a reference");
      return reinterpret_cast<P>(memory);
    }
  } else {
    using T = std::remove_cv_t<std::remove_reference_t<P>>;
    if constexpr (kind == Kind::thread_position_in_grid) return of_three<T>(self.global);
    else if constexpr (kind == Kind::thread_position_in_threadgroup) return of_three<T>(self.local);
    else if constexpr (kind == Kind::threadgroup_position_in_grid) return of_three<T>(launch.group);
    else if constexpr (kind == Kind::threads_per_threadgroup) return of_three<T>(launch.threads);
    else if constexpr (kind == Kind::dispatch_threads_per_threadgroup) return of_three<T>(launch.dispatched);
    else if constexpr (kind == Kind::threads_per_grid) return of_three<T>(launch.grid);
    else if constexpr (kind == Kind::threadgroups_per_grid) return of_three<T>(launch.groups);
    else if constexpr (kind == Kind::thread_index_in_threadgroup) return static_cast<T>(self.index);
    else if constexpr (kind == Kind::thread_index_in_simdgroup) return static_cast<T>(self.index % kSimdWidth);
    else if constexpr (kind == Kind::simdgroup_index_in_threadgroup) return static_cast<T>(self.index / kSimdWidth);
    else if constexpr (kind == Kind::simdgroups_per_threadgroup) return static_cast<T>(simdgroups(launch.threads));
    else if constexpr (kind == Kind::dispatch_simdgroups_per_threadgroup) return static_cast<T>(simdgroups(launch.dispatched));
    else return static_cast<T>(kSimdWidth);
  }
}

// The bytes of the structure behind a parameter: of an argument buffer, which the host fills by this size.
template <class P>
constexpr unsigned structure_bytes() {
  using T = std::remove_cv_t<std::remove_pointer_t<std::remove_reference_t<P>>>;
  if constexpr (std::is_class_v<T>) return sizeof(T);
  else return 0;
}

template <class F>
struct Parameters;
template <class... P>
struct Parameters<void(P...)> {
  template <unsigned N>
  struct At {
    template <unsigned M, class First, class... Rest>
    struct Walk : Walk<M - 1, Rest...> {};
    template <class First, class... Rest>
    struct Walk<0, First, Rest...> {
      using type = First;
    };
    using type = typename Walk<N, P...>::type;
  };
};
template <class F, unsigned N>
using parameter_of = typename Parameters<F>::template At<N>::type;

}  // namespace shim
}  // namespace metal

extern "C" __attribute__((visibility("hidden"))) const char __ehdr_start[], _end[];
