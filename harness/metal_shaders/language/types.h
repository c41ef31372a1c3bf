// The Metal Shading Language's types as C++17: scalars, vectors with swizzles, packed vectors, matrices, arrays.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <type_traits>

typedef _Float16 half;
typedef __bf16 bfloat;
typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;

namespace metal {

using std::bool_constant;
using std::conditional;
using std::conditional_t;
using std::decay;
using std::decay_t;
using std::enable_if;
using std::enable_if_t;
using std::false_type;
using std::integral_constant;
using std::is_const;
using std::is_convertible;
using std::is_enum;
using std::is_integral;
using std::is_integral_v;
using std::is_pointer;
using std::is_same;
using std::is_same_v;
using std::is_signed;
using std::is_unsigned;
using std::make_signed;
using std::make_signed_t;
using std::make_unsigned;
using std::make_unsigned_t;
using std::remove_const_t;
using std::remove_cv;
using std::remove_cv_t;
using std::remove_pointer;
using std::remove_pointer_t;
using std::remove_reference;
using std::remove_reference_t;
using std::true_type;
using std::underlying_type;
using std::underlying_type_t;

template <class T>
struct is_floating_point : bool_constant<is_same_v<remove_cv_t<T>, float> || is_same_v<remove_cv_t<T>, half> || is_same_v<remove_cv_t<T>, bfloat>> {};
template <class T>
inline constexpr bool is_floating_point_v = is_floating_point<T>::value;
template <class T>
struct is_arithmetic : bool_constant<is_integral_v<T> || is_floating_point_v<T>> {};
template <class T>
inline constexpr bool is_arithmetic_v = is_arithmetic<T>::value;
template <class T>
struct is_scalar : bool_constant<is_arithmetic_v<T> || std::is_enum_v<T> || std::is_pointer_v<T>> {};
template <class T>
inline constexpr bool is_scalar_v = is_scalar<T>::value;
template <class T>
inline constexpr bool is_signed_v = is_floating_point_v<T> || std::is_signed_v<T>;
template <class T>
inline constexpr bool is_unsigned_v = std::is_unsigned_v<T>;
template <class T>
T&& declval() noexcept;

namespace shim {
template <class T>
using if_number = enable_if_t<is_arithmetic_v<T>>;
}  // namespace shim

namespace shim {
// `bfloat(x)` and `half(x)`: clang converts neither of the two to the other.
template <class To>
inline constexpr To cast() {
  return To{};
}
template <class To, class From>
inline constexpr To cast(const From& from) {
  if constexpr (is_floating_point_v<From>) {
    return static_cast<To>(static_cast<float>(from));
  } else {
    return static_cast<To>(from);
  }
}
}  // namespace shim

template <class To, class From>
inline constexpr To as_type(From from) {
  static_assert(sizeof(To) == sizeof(From), "as_type between types of different sizes");
  return __builtin_bit_cast(To, from);
}

// ---- vectors
template <class T, int N>
struct vec;

namespace shim {
template <class T>
inline constexpr int width = 1;
template <class T, int N>
inline constexpr int width<vec<T, N>> = N;
template <class T>
struct packed3;
template <class T>
inline constexpr int width<packed3<T>> = 3;
template <class T>
inline constexpr bool is_vector = width<T> != 1;
}  // namespace shim

// A swizzle is a property: nothing is stored for it, and `v.xy += w` reads and writes.
#define METAL_SWIZZLE2(A, B)                                                                   \
  vec<T, 2> get_##A##B() const { return vec<T, 2>(A, B); }                                     \
  void put_##A##B(const vec<T, 2>& from) { T a = from.x, b = from.y; A = a; B = b; }           \
  __declspec(property(get = get_##A##B, put = put_##A##B)) vec<T, 2> A##B;
#define METAL_SWIZZLE3(A, B, C)                                                                \
  vec<T, 3> get_##A##B##C() const { return vec<T, 3>(A, B, C); }                               \
  void put_##A##B##C(const vec<T, 3>& from) { T a = from.x, b = from.y, c = from.z; A = a; B = b; C = c; } \
  __declspec(property(get = get_##A##B##C, put = put_##A##B##C)) vec<T, 3> A##B##C;
#define METAL_SWIZZLE4(A, B, C, D)                                                             \
  vec<T, 4> get_##A##B##C##D() const { return vec<T, 4>(A, B, C, D); }                         \
  __declspec(property(get = get_##A##B##C##D)) vec<T, 4> A##B##C##D;
#define METAL_ALIAS(NAME, OF)                                                                  \
  T get_##NAME() const { return OF; }                                                          \
  void put_##NAME(T from) { OF = from; }                                                       \
  __declspec(property(get = get_##NAME, put = put_##NAME)) T NAME;
#define METAL_SWIZZLES_OF_2(A, B) METAL_SWIZZLE2(A, A) METAL_SWIZZLE2(A, B) METAL_SWIZZLE2(B, A) METAL_SWIZZLE2(B, B)
#define METAL_SWIZZLES_OF_3(A, B, C)                                                           \
  METAL_SWIZZLES_OF_2(A, B)                                                                    \
  METAL_SWIZZLE2(A, C) METAL_SWIZZLE2(C, A) METAL_SWIZZLE2(B, C) METAL_SWIZZLE2(C, B) METAL_SWIZZLE2(C, C) \
  METAL_SWIZZLE3(A, B, C) METAL_SWIZZLE3(A, C, B) METAL_SWIZZLE3(B, A, C) METAL_SWIZZLE3(B, C, A)          \
  METAL_SWIZZLE3(C, A, B) METAL_SWIZZLE3(C, B, A) METAL_SWIZZLE3(A, A, A) METAL_SWIZZLE3(B, B, B) METAL_SWIZZLE3(C, C, C)
#define METAL_SWIZZLES_OF_4(A, B, C, D)                                                        \
  METAL_SWIZZLES_OF_3(A, B, C)                                                                 \
  METAL_SWIZZLE2(A, D) METAL_SWIZZLE2(D, A) METAL_SWIZZLE2(B, D) METAL_SWIZZLE2(D, B) METAL_SWIZZLE2(C, D) \
  METAL_SWIZZLE2(D, C) METAL_SWIZZLE2(D, D)                                                    \
  METAL_SWIZZLE3(B, C, D) METAL_SWIZZLE3(A, B, D) METAL_SWIZZLE3(A, C, D) METAL_SWIZZLE3(D, C, B)          \
  METAL_SWIZZLE4(A, B, C, D) METAL_SWIZZLE4(D, C, B, A) METAL_SWIZZLE4(B, A, D, C) METAL_SWIZZLE4(C, D, A, B) \
  METAL_SWIZZLE4(A, A, A, A) METAL_SWIZZLE4(B, B, B, B) METAL_SWIZZLE4(C, C, C, C) METAL_SWIZZLE4(D, D, D, D)

#define METAL_VECTOR(N)                                                                                            \
  using value_type = T;                                                                                            \
  vec() = default;                                                                                                 \
  template <class U, class = shim::if_number<U>>                                                                 \
  constexpr vec(U all) : elements{} {                                                                              \
    for (int i = 0; i < N; ++i) elements[i] = static_cast<T>(all);                                                 \
  }                                                                                                                \
  template <class U, class = enable_if_t<!is_same_v<U, T>>>                                                        \
  explicit constexpr vec(const vec<U, N>& from) : elements{} {                                                     \
    for (int i = 0; i < N; ++i) elements[i] = static_cast<T>(from.elements[i]);                                    \
  }                                                                                                                \
  template <class A, class B, class... Rest,                                                                       \
            class = enable_if_t<((shim::width<A> + shim::width<B>) + ... + shim::width<Rest>) == N>>         \
  constexpr vec(const A& a, const B& b, const Rest&... rest) : elements{} {                                        \
    int at = 0;                                                                                                    \
    put(at, a);                                                                                                    \
    put(at, b);                                                                                                    \
    (put(at, rest), ...);                                                                                          \
  }                                                                                                                \
  constexpr T& operator[](int i) { return elements[i]; }                                                           \
  constexpr const T& operator[](int i) const { return elements[i]; }                                               \
                                                                                                                   \
 private:                                                                                                          \
  template <class A>                                                                                               \
  constexpr void put(int& at, const A& from) {                                                                     \
    if constexpr (shim::is_vector<A>) {                                                                          \
      for (int i = 0; i < shim::width<A>; ++i) elements[at++] = static_cast<T>(from[i]);                         \
    } else {                                                                                                       \
      elements[at++] = static_cast<T>(from);                                                                       \
    }                                                                                                              \
  }                                                                                                                \
                                                                                                                   \
 public:

template <class T>
struct alignas(2 * sizeof(T)) vec<T, 2> {
  union {
    T elements[2];
    struct {
      T x, y;
    };
  };
  METAL_VECTOR(2)
  METAL_ALIAS(r, x) METAL_ALIAS(g, y)
  METAL_SWIZZLES_OF_2(x, y)
};

template <class T>
struct alignas(4 * sizeof(T)) vec<T, 3> {
  union {
    T elements[3];
    struct {
      T x, y, z;
    };
  };
  METAL_VECTOR(3)
  METAL_ALIAS(r, x) METAL_ALIAS(g, y) METAL_ALIAS(b, z)
  METAL_SWIZZLES_OF_3(x, y, z)
};

template <class T>
struct alignas(4 * sizeof(T)) vec<T, 4> {
  union {
    T elements[4];
    struct {
      T x, y, z, w;
    };
  };
  METAL_VECTOR(4)
  METAL_ALIAS(r, x) METAL_ALIAS(g, y) METAL_ALIAS(b, z) METAL_ALIAS(a, w)
  METAL_SWIZZLES_OF_4(x, y, z, w)
};

namespace shim {
// Three elements without a hole behind them. Vectors of two and four have none, and are aligned more than packed ones: that shows
// nothing here, since the processor reads at any address (the sanitizer of alignment is off).
template <class T>
struct packed3 {
  T x, y, z;

  packed3() = default;
  template <class U, class = if_number<U>>
  constexpr packed3(U all) : x(static_cast<T>(all)), y(x), z(x) {}
  constexpr packed3(T a, T b, T c) : x(a), y(b), z(c) {}
  constexpr packed3(const vec<T, 3>& from) : x(from.x), y(from.y), z(from.z) {}
  constexpr operator vec<T, 3>() const { return vec<T, 3>(x, y, z); }
  template <class U, class = enable_if_t<!is_same_v<U, T>>>
  explicit constexpr operator vec<U, 3>() const {
    return vec<U, 3>(x, y, z);
  }
  T& operator[](int i) { return i == 0 ? x : i == 1 ? y : z; }
  const T& operator[](int i) const { return i == 0 ? x : i == 1 ? y : z; }
};

template <class T>
constexpr vec<T, 3> plain(const packed3<T>& from) {
  return from;
}
template <class T, int N>
constexpr const vec<T, N>& plain(const vec<T, N>& from) {
  return from;
}
template <class A>
inline constexpr bool is_packed = false;
template <class T>
inline constexpr bool is_packed<packed3<T>> = true;
template <class A, class B>
using if_packed = enable_if_t<(is_packed<A> && (is_vector<B> || is_arithmetic_v<B>)) || (is_packed<B> && (is_vector<A> || is_arithmetic_v<A>))>;
template <class T, class = if_number<T>>
constexpr T plain(T from) {
  return from;
}
}  // namespace shim

#define METAL_OPERATOR(O)                                                                          \
  template <class T, int N>                                                                        \
  constexpr vec<T, N> operator O(const vec<T, N>& a, const vec<T, N>& b) {                         \
    vec<T, N> result{};                                                                            \
    for (int i = 0; i < N; ++i) result[i] = static_cast<T>(a[i] O b[i]);                           \
    return result;                                                                                 \
  }                                                                                                \
  template <class T, int N, class U, class = shim::if_number<U>>                                 \
  constexpr vec<T, N> operator O(const vec<T, N>& a, U b) {                                        \
    return a O vec<T, N>(b);                                                                       \
  }                                                                                                \
  template <class T, int N, class U, class = shim::if_number<U>>                                 \
  constexpr vec<T, N> operator O(U a, const vec<T, N>& b) {                                        \
    return vec<T, N>(a) O b;                                                                       \
  }                                                                                                \
  template <class T, int N, class U>                                                               \
  constexpr vec<T, N>& operator O##=(vec<T, N>& a, const U& b) {                                   \
    return a = a O b;                                                                              \
  }                                                                                                \
  template <class A, class B, class = shim::if_packed<A, B>>                                     \
  constexpr auto operator O(const A& a, const B& b) {                                              \
    return shim::plain(a) O shim::plain(b);                                                    \
  }                                                                                                \
  template <class T, class U>                                                                      \
  constexpr shim::packed3<T>& operator O##=(shim::packed3<T>& a, const U& b) {                 \
    return a = shim::plain(a) O b;                                                               \
  }
METAL_OPERATOR(+)
METAL_OPERATOR(-)
METAL_OPERATOR(*)
METAL_OPERATOR(/)
METAL_OPERATOR(%)
METAL_OPERATOR(&)
METAL_OPERATOR(|)
METAL_OPERATOR(^)
METAL_OPERATOR(<<)
METAL_OPERATOR(>>)
#undef METAL_OPERATOR

#define METAL_COMPARISON(O)                                                                        \
  template <class T, int N>                                                                        \
  constexpr vec<bool, N> operator O(const vec<T, N>& a, const vec<T, N>& b) {                      \
    vec<bool, N> result{};                                                                         \
    for (int i = 0; i < N; ++i) result[i] = a[i] O b[i];                                           \
    return result;                                                                                 \
  }                                                                                                \
  template <class T, int N, class U, class = shim::if_number<U>>                                 \
  constexpr vec<bool, N> operator O(const vec<T, N>& a, U b) {                                     \
    return a O vec<T, N>(b);                                                                       \
  }
METAL_COMPARISON(<)
METAL_COMPARISON(>)
METAL_COMPARISON(<=)
METAL_COMPARISON(>=)
METAL_COMPARISON(==)
METAL_COMPARISON(!=)
METAL_COMPARISON(&&)
METAL_COMPARISON(||)
#undef METAL_COMPARISON

#define METAL_UNARY(O, RESULT)                                                                     \
  template <class T, int N>                                                                        \
  constexpr vec<RESULT, N> operator O(const vec<T, N>& a) {                                        \
    vec<RESULT, N> result{};                                                                       \
    for (int i = 0; i < N; ++i) result[i] = static_cast<RESULT>(O a[i]);                           \
    return result;                                                                                 \
  }
METAL_UNARY(-, T)
METAL_UNARY(+, T)
METAL_UNARY(~, T)
METAL_UNARY(!, bool)
#undef METAL_UNARY

template <int N>
constexpr bool any(const vec<bool, N>& a) {
  for (int i = 0; i < N; ++i) {
    if (a[i]) return true;
  }
  return false;
}
template <int N>
constexpr bool all(const vec<bool, N>& a) {
  for (int i = 0; i < N; ++i) {
    if (!a[i]) return false;
  }
  return true;
}
constexpr bool any(bool a) { return a; }
constexpr bool all(bool a) { return a; }

// ---- matrices, by columns
template <class T, int C, int R>
struct matrix {
  vec<T, R> columns[C];

  matrix() = default;
  template <class U, class = shim::if_number<U>>
  constexpr explicit matrix(U diagonal) : columns{} {
    for (int i = 0; i < C && i < R; ++i) columns[i][i] = static_cast<T>(diagonal);
  }
  template <class A, class B, class... Rest, class = enable_if_t<sizeof...(Rest) + 2 == C && shim::is_vector<A>>>
  constexpr matrix(const A& a, const B& b, const Rest&... rest) : columns{vec<T, R>(a), vec<T, R>(b), vec<T, R>(rest)...} {}
  constexpr vec<T, R>& operator[](int i) { return columns[i]; }
  constexpr const vec<T, R>& operator[](int i) const { return columns[i]; }
};

template <class T, int C, int R>
constexpr vec<T, R> operator*(const matrix<T, C, R>& m, const vec<T, C>& v) {
  vec<T, R> result(T(0));
  for (int i = 0; i < C; ++i) result += m[i] * v[i];
  return result;
}
template <class T, int C, int R>
constexpr vec<T, C> operator*(const vec<T, R>& v, const matrix<T, C, R>& m) {
  vec<T, C> result(T(0));
  for (int i = 0; i < C; ++i) {
    for (int k = 0; k < R; ++k) result[i] = static_cast<T>(result[i] + v[k] * m[i][k]);
  }
  return result;
}
template <class T, int C, int R, int K>
constexpr matrix<T, C, R> operator*(const matrix<T, K, R>& a, const matrix<T, C, K>& b) {
  matrix<T, C, R> result(T(0));
  for (int i = 0; i < C; ++i) result[i] = a * b[i];
  return result;
}
template <class T, int C, int R, class U, class = shim::if_number<U>>
constexpr matrix<T, C, R> operator*(const matrix<T, C, R>& m, U factor) {
  matrix<T, C, R> result(T(0));
  for (int i = 0; i < C; ++i) result[i] = m[i] * factor;
  return result;
}
template <class T, int C, int R>
constexpr matrix<T, C, R> operator+(const matrix<T, C, R>& a, const matrix<T, C, R>& b) {
  matrix<T, C, R> result(T(0));
  for (int i = 0; i < C; ++i) result[i] = a[i] + b[i];
  return result;
}
template <class T, int C, int R>
constexpr matrix<T, R, C> transpose(const matrix<T, C, R>& m) {
  matrix<T, R, C> result(T(0));
  for (int i = 0; i < C; ++i) {
    for (int k = 0; k < R; ++k) result[k][i] = m[i][k];
  }
  return result;
}

// ---- arrays
template <class T, size_t N>
struct array {
  T elements[N];
  constexpr T& operator[](size_t i) { return elements[i]; }
  constexpr const T& operator[](size_t i) const { return elements[i]; }
  constexpr T* data() { return elements; }
  constexpr const T* data() const { return elements; }
  constexpr size_t size() const { return N; }
  constexpr T* begin() { return elements; }
  constexpr const T* begin() const { return elements; }
  constexpr T* end() { return elements + N; }
  constexpr const T* end() const { return elements + N; }
};
template <class T>
struct tuple_size;
template <class T, size_t N>
struct tuple_size<array<T, N>> : integral_constant<size_t, N> {};

#define METAL_NAMES(T)               \
  typedef vec<T, 2> T##2;            \
  typedef vec<T, 3> T##3;            \
  typedef vec<T, 4> T##4;            \
  typedef vec<T, 2> packed_##T##2;   \
  typedef shim::packed3<T> packed_##T##3; \
  typedef vec<T, 4> packed_##T##4;
METAL_NAMES(float)
METAL_NAMES(half)
METAL_NAMES(bfloat)
METAL_NAMES(char)
METAL_NAMES(uchar)
METAL_NAMES(short)
METAL_NAMES(ushort)
METAL_NAMES(int)
METAL_NAMES(uint)
METAL_NAMES(long)
METAL_NAMES(ulong)
METAL_NAMES(bool)
#undef METAL_NAMES

#define METAL_MATRIX_NAMES(T)                                                                 \
  typedef matrix<T, 2, 2> T##2x2; typedef matrix<T, 2, 3> T##2x3; typedef matrix<T, 2, 4> T##2x4; \
  typedef matrix<T, 3, 2> T##3x2; typedef matrix<T, 3, 3> T##3x3; typedef matrix<T, 3, 4> T##3x4; \
  typedef matrix<T, 4, 2> T##4x2; typedef matrix<T, 4, 3> T##4x3; typedef matrix<T, 4, 4> T##4x4;
METAL_MATRIX_NAMES(float)
METAL_MATRIX_NAMES(half)
METAL_MATRIX_NAMES(bfloat)
#undef METAL_MATRIX_NAMES

}  // namespace metal
