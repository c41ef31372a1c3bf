// Metal's mathematical functions. Those of float are computed in float by the C library, those of half and bfloat through float:
// values are near Apple's, not bitwise equal. No header of the C library is included: a kernel may be called `exp`.
#pragma once

#include "types.h"

#undef INFINITY
#undef NAN
#undef HUGE_VALF
#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")
#define HUGE_VALF __builtin_inff()
#define MAXFLOAT __FLT_MAX__
#define FLT_MAX __FLT_MAX__
#define FLT_MIN __FLT_MIN__
#define FLT_EPSILON __FLT_EPSILON__
#define FLT_DIG __FLT_DIG__
#define FLT_MANT_DIG __FLT_MANT_DIG__
#define HALF_MAX ((half)65504.0f)
#define HALF_MIN ((half)6.103515625e-05f)
#define HALF_EPSILON ((half)9.765625e-04f)
#define M_E_F 2.71828182845904523536f
#define M_LOG2E_F 1.44269504088896340736f
#define M_LOG10E_F 0.43429448190325182765f
#define M_LN2_F 0.69314718055994530942f
#define M_LN10_F 2.30258509299404568402f
#define M_PI_F 3.14159265358979323846f
#define M_PI_2_F 1.57079632679489661923f
#define M_PI_4_F 0.78539816339744830962f
#define M_1_PI_F 0.31830988618379067154f
#define M_2_PI_F 0.63661977236758134308f
#define M_2_SQRTPI_F 1.12837916709551257390f
#define M_SQRT2_F 1.41421356237309504880f
#define M_SQRT1_2_F 0.70710678118654752440f
#define M_PI_H ((half)3.14159265358979323846f)
#define M_E_H ((half)2.71828182845904523536f)
#define INT_MAX __INT_MAX__
#define INT_MIN (-__INT_MAX__ - 1)
#define UINT_MAX (__INT_MAX__ * 2u + 1u)
#define SHRT_MAX __SHRT_MAX__
#define CHAR_BIT 8

namespace metal {

namespace shim {
// The type of a function's value: that of its arguments where they are floating, else float.
template <class A>
using result1 = conditional_t<is_floating_point_v<A>, A, float>;
template <class A, class B>
using result2 = conditional_t<!is_floating_point_v<A>, result1<B>,
                              conditional_t<is_floating_point_v<B> && (sizeof(B) > sizeof(A)), B, A>>;
}  // namespace shim

#define METAL_OF_VECTOR(NAME)                                                \
  template <class T, int N>                                                  \
  inline auto NAME(const vec<T, N>& a) {                                     \
    vec<T, N> result(T(0));                                                  \
    for (int i = 0; i < N; ++i) result[i] = NAME(a[i]);                      \
    return result;                                                           \
  }
#define METAL_OF_VECTORS(NAME)                                               \
  template <class T, int N>                                                  \
  inline vec<T, N> NAME(const vec<T, N>& a, const vec<T, N>& b) {            \
    vec<T, N> result(T(0));                                                  \
    for (int i = 0; i < N; ++i) result[i] = NAME(a[i], b[i]);                \
    return result;                                                           \
  }                                                                          \
  template <class T, int N, class U, class = shim::if_number<U>>           \
  inline vec<T, N> NAME(const vec<T, N>& a, U b) {                           \
    return NAME(a, vec<T, N>(b));                                            \
  }
#define METAL_OF_1(NAME, VALUE)                                              \
  template <class A, class = shim::if_number<A>>                           \
  inline shim::result1<A> NAME(A a) {                                      \
    float x = static_cast<float>(a);                                         \
    return static_cast<shim::result1<A>>(VALUE);                           \
  }                                                                          \
  METAL_OF_VECTOR(NAME)
#define METAL_OF_2(NAME, VALUE)                                              \
  template <class A, class B, class = shim::if_number<A>, class = shim::if_number<B>> \
  inline shim::result2<A, B> NAME(A a, B b) {                              \
    float x = static_cast<float>(a), y = static_cast<float>(b);              \
    return static_cast<shim::result2<A, B>>(VALUE);                        \
  }                                                                          \
  METAL_OF_VECTORS(NAME)

#define METAL_FUNCTIONS                                                      \
  METAL_OF_1(acos, __builtin_acosf(x))                                       \
  METAL_OF_1(acosh, __builtin_acoshf(x))                                     \
  METAL_OF_1(asin, __builtin_asinf(x))                                       \
  METAL_OF_1(asinh, __builtin_asinhf(x))                                     \
  METAL_OF_1(atan, __builtin_atanf(x))                                       \
  METAL_OF_1(atanh, __builtin_atanhf(x))                                     \
  METAL_OF_1(ceil, __builtin_ceilf(x))                                       \
  METAL_OF_1(cos, __builtin_cosf(x))                                         \
  METAL_OF_1(cosh, __builtin_coshf(x))                                       \
  METAL_OF_1(cospi, shim::cos_pi(x))                                       \
  METAL_OF_1(exp, __builtin_expf(x))                                         \
  METAL_OF_1(exp10, __builtin_powf(10.0f, x))                                \
  METAL_OF_1(exp2, __builtin_exp2f(x))                                       \
  METAL_OF_1(fabs, __builtin_fabsf(x))                                       \
  METAL_OF_1(floor, __builtin_floorf(x))                                     \
  METAL_OF_1(fract, shim::fraction(x))                                     \
  METAL_OF_1(log, __builtin_logf(x))                                         \
  METAL_OF_1(log10, __builtin_log10f(x))                                     \
  METAL_OF_1(log2, __builtin_log2f(x))                                       \
  METAL_OF_1(rint, __builtin_rintf(x))                                       \
  METAL_OF_1(round, __builtin_roundf(x))                                     \
  METAL_OF_1(rsqrt, 1.0f / __builtin_sqrtf(x))                               \
  METAL_OF_1(saturate, shim::saturated(x))                                 \
  METAL_OF_1(sin, __builtin_sinf(x))                                         \
  METAL_OF_1(sinh, __builtin_sinhf(x))                                       \
  METAL_OF_1(sinpi, shim::sin_pi(x))                                       \
  METAL_OF_1(sqrt, __builtin_sqrtf(x))                                       \
  METAL_OF_1(tan, __builtin_tanf(x))                                         \
  METAL_OF_1(tanh, __builtin_tanhf(x))                                       \
  METAL_OF_1(tanpi, shim::sin_pi(x) / shim::cos_pi(x))                   \
  METAL_OF_1(trunc, __builtin_truncf(x))                                     \
  METAL_OF_2(atan2, __builtin_atan2f(x, y))                                  \
  METAL_OF_2(copysign, __builtin_copysignf(x, y))                            \
  METAL_OF_2(divide, x / y)                                                  \
  METAL_OF_2(fdim, __builtin_fdimf(x, y))                                    \
  METAL_OF_2(fmax, __builtin_fmaxf(x, y))                                    \
  METAL_OF_2(fmin, __builtin_fminf(x, y))                                    \
  METAL_OF_2(fmod, __builtin_fmodf(x, y))                                    \
  METAL_OF_2(pow, __builtin_powf(x, y))                                      \
  METAL_OF_2(powr, __builtin_powf(x, y))                                     \
  template <class A, class = enable_if_t<is_floating_point_v<A>>>            \
  inline A sincos(A a, A& cosine) {                                          \
    cosine = static_cast<A>(__builtin_cosf(static_cast<float>(a)));          \
    return static_cast<A>(__builtin_sinf(static_cast<float>(a)));            \
  }                                                                          \
  template <class A, class = enable_if_t<is_floating_point_v<A>>>            \
  inline A fma(A a, A b, A c) {                                              \
    return static_cast<A>(__builtin_fmaf(static_cast<float>(a), static_cast<float>(b), static_cast<float>(c))); \
  }                                                                          \
  template <class A, class = enable_if_t<is_floating_point_v<A>>>            \
  inline A frexp(A a, int& exponent) {                                       \
    return static_cast<A>(__builtin_frexpf(static_cast<float>(a), &exponent)); \
  }                                                                          \
  template <class A, class = enable_if_t<is_floating_point_v<A>>>            \
  inline A ldexp(A a, int exponent) {                                        \
    return static_cast<A>(__builtin_ldexpf(static_cast<float>(a), exponent)); \
  }                                                                          \
  template <class A, class = enable_if_t<is_floating_point_v<A>>>            \
  inline int ilogb(A a) {                                                    \
    return __builtin_ilogbf(static_cast<float>(a));                          \
  }                                                                          \
  template <class A, class = enable_if_t<is_floating_point_v<A>>>            \
  inline A modf(A a, A& whole) {                                             \
    whole = static_cast<A>(__builtin_truncf(static_cast<float>(a)));         \
    return static_cast<A>(static_cast<float>(a) - static_cast<float>(whole)); \
  }

namespace shim {
// Exact where the argument is a multiple of a half: the argument is reduced before it is multiplied.
inline float sin_pi(float x) {
  float r = x - 2.0f * __builtin_roundf(x * 0.5f);
  if (r == 1.0f || r == -1.0f) return 0.0f;
  return __builtin_sinf(r * M_PI_F);
}
inline float cos_pi(float x) {
  float r = __builtin_fabsf(x - 2.0f * __builtin_roundf(x * 0.5f));
  if (r == 0.5f) return 0.0f;
  return __builtin_cosf(r * M_PI_F);
}
inline float fraction(float x) { return __builtin_fminf(x - __builtin_floorf(x), 0x1.fffffep-1f); }
inline float saturated(float x) { return __builtin_fminf(__builtin_fmaxf(x, 0.0f), 1.0f); }
}  // namespace shim

METAL_FUNCTIONS
namespace precise {
METAL_FUNCTIONS
}
namespace fast {
METAL_FUNCTIONS
}

// The next value of the type itself: half and bfloat have their own.
template <class A, class = enable_if_t<is_floating_point_v<A>>>
inline A nextafter(A from, A to) {
  using Bits = conditional_t<sizeof(A) == 4, uint, ushort>;
  if (from != from || to != to) return static_cast<A>(NAN);
  if (from == to) return to;
  if (from == A(0)) return as_type<A>(static_cast<Bits>((to > A(0) ? Bits(0) : static_cast<Bits>(Bits(1) << (8 * sizeof(A) - 1))) | Bits(1)));
  Bits bits = as_type<Bits>(from);
  return as_type<A>(static_cast<Bits>((from > A(0)) == (to > from) ? bits + 1 : bits - 1));
}

// ---- of all numbers
template <class T, class = shim::if_number<T>>
inline T abs(T a) {
  if constexpr (is_floating_point_v<T>) return static_cast<T>(__builtin_fabsf(static_cast<float>(a)));
  else if constexpr (std::is_unsigned_v<T>) return a;
  else return a < 0 ? static_cast<T>(-a) : a;
}
METAL_OF_VECTOR(abs)

#define METAL_LIMIT(NAME, FLOATING, O)                                       \
  template <class A, class B, class = shim::if_number<A>, class = shim::if_number<B>> \
  inline auto NAME(A a, B b) {                                               \
    using R = decltype(true ? a : b);                                        \
    if constexpr (is_floating_point_v<R>) {                                  \
      return static_cast<R>(FLOATING(static_cast<float>(a), static_cast<float>(b))); \
    } else {                                                                 \
      return static_cast<R>(a) O static_cast<R>(b) ? static_cast<R>(a) : static_cast<R>(b); \
    }                                                                        \
  }                                                                          \
  METAL_OF_VECTORS(NAME)                                                     \
  template <class A, class B, class C, class = shim::if_number<A>>         \
  inline auto NAME##3(A a, B b, C c) {                                       \
    return NAME(a, NAME(b, c));                                              \
  }
METAL_LIMIT(max, __builtin_fmaxf, >)
METAL_LIMIT(min, __builtin_fminf, <)
namespace precise {
using metal::abs;
using metal::max;
using metal::min;
}  // namespace precise
namespace fast {
using metal::abs;
using metal::max;
using metal::min;
}  // namespace fast

template <class T, class L, class H>
inline auto clamp(T x, L low, H high) {
  return min(max(x, low), high);
}
template <class T, class F>
inline T mix(T a, T b, F share) {
  return static_cast<T>(a + (b - a) * share);
}
template <class T, class = shim::if_number<T>>
inline T sign(T x) {
  return x > T(0) ? T(1) : x < T(0) ? T(-1) : T(0);  // 0 for NaN, as Metal's.
}
METAL_OF_VECTOR(sign)
template <class T, class = shim::if_number<T>>
inline T step(T edge, T x) {
  return x < edge ? T(0) : T(1);
}
template <class T, class = enable_if_t<is_floating_point_v<T>>>
inline T smoothstep(T low, T high, T x) {
  T t = clamp((x - low) / (high - low), T(0), T(1));
  return t * t * (T(3) - T(2) * t);
}
template <class T>
inline T select(T no, T yes, bool which) {
  return which ? yes : no;
}
template <class T, int N>
inline vec<T, N> select(const vec<T, N>& no, const vec<T, N>& yes, const vec<bool, N>& which) {
  vec<T, N> result(T(0));
  for (int i = 0; i < N; ++i) result[i] = which[i] ? yes[i] : no[i];
  return result;
}

// ---- questions
#define METAL_QUESTION(NAME, FLOATING)                                       \
  template <class T, class = shim::if_number<T>>                           \
  inline bool NAME(T a) {                                                    \
    if constexpr (is_floating_point_v<T>) return FLOATING(static_cast<float>(a)); \
    else return #NAME[2] == 'f' || #NAME[2] == 'o';                          \
  }                                                                          \
  template <class T, int N>                                                  \
  inline vec<bool, N> NAME(const vec<T, N>& a) {                             \
    vec<bool, N> result(false);                                              \
    for (int i = 0; i < N; ++i) result[i] = NAME(a[i]);                      \
    return result;                                                           \
  }
namespace shim {
inline bool is_nan(float x) { return x != x; }
inline bool is_infinite(float x) { return x == INFINITY || x == -INFINITY; }
inline bool is_finite(float x) { return !is_nan(x) && !is_infinite(x); }
inline bool is_normal(float x) { return __builtin_isnormal(x); }
}  // namespace shim
METAL_QUESTION(isnan, shim::is_nan)
METAL_QUESTION(isinf, shim::is_infinite)
METAL_QUESTION(isfinite, shim::is_finite)
METAL_QUESTION(isnormal, shim::is_normal)
template <class T, class = shim::if_number<T>>
inline bool signbit(T a) {
  return __builtin_signbit(static_cast<float>(a));
}
template <class T>
inline bool isunordered(T a, T b) {
  return isnan(a) || isnan(b);
}
template <class T>
inline bool isordered(T a, T b) {
  return !isunordered(a, b);
}

// ---- of integers
namespace shim {
template <class T>
using bits_of = std::make_unsigned_t<T>;
template <class T>
inline constexpr int bit_count = 8 * static_cast<int>(sizeof(T));
}  // namespace shim
template <class T, class = enable_if_t<is_integral_v<T>>>
inline T popcount(T x) {
  return static_cast<T>(__builtin_popcountll(static_cast<shim::bits_of<T>>(x)));
}
template <class T, class = enable_if_t<is_integral_v<T>>>
inline T clz(T x) {
  return static_cast<T>(x == 0 ? shim::bit_count<T> : __builtin_clzll(static_cast<shim::bits_of<T>>(x)) - (64 - shim::bit_count<T>));
}
template <class T, class = enable_if_t<is_integral_v<T>>>
inline T ctz(T x) {
  return static_cast<T>(x == 0 ? shim::bit_count<T> : __builtin_ctzll(static_cast<shim::bits_of<T>>(x)));
}
template <class T, class = enable_if_t<is_integral_v<T>>>
inline T mulhi(T a, T b) {
  if constexpr (std::is_signed_v<T>) return static_cast<T>((static_cast<__int128>(a) * b) >> shim::bit_count<T>);
  else return static_cast<T>((static_cast<unsigned __int128>(a) * b) >> shim::bit_count<T>);
}
template <class T, class = enable_if_t<is_integral_v<T>>>
inline T rotate(T x, T by) {
  using U = shim::bits_of<T>;
  unsigned shift = static_cast<unsigned>(by) % shim::bit_count<T>;
  U bits = static_cast<U>(x);
  return static_cast<T>(shift == 0 ? bits : static_cast<U>(bits << shift | bits >> (shim::bit_count<T> - shift)));
}
template <class T, class = enable_if_t<is_integral_v<T>>>
inline T reverse_bits(T x) {
  shim::bits_of<T> from = static_cast<shim::bits_of<T>>(x), to = 0;
  for (int i = 0; i < shim::bit_count<T>; ++i) to = static_cast<shim::bits_of<T>>(to << 1 | (from >> i & 1));
  return static_cast<T>(to);
}
template <class T, class = enable_if_t<is_integral_v<T>>>
inline T extract_bits(T x, uint offset, uint count) {
  if (count == 0) return T(0);
  using U = shim::bits_of<T>;
  U up = static_cast<U>(static_cast<U>(x) << (shim::bit_count<T> - offset - count));
  return static_cast<T>(static_cast<T>(up) >> (shim::bit_count<T> - count));
}
template <class T, class = enable_if_t<is_integral_v<T>>>
inline shim::bits_of<T> absdiff(T a, T b) {
  return static_cast<shim::bits_of<T>>(a > b ? static_cast<shim::bits_of<T>>(a) - static_cast<shim::bits_of<T>>(b)
                                               : static_cast<shim::bits_of<T>>(b) - static_cast<shim::bits_of<T>>(a));
}

// ---- geometry
template <class T, int N>
inline T dot(const vec<T, N>& a, const vec<T, N>& b) {
  T sum = static_cast<T>(a[0] * b[0]);
  for (int i = 1; i < N; ++i) sum = static_cast<T>(sum + a[i] * b[i]);
  return sum;
}
template <class T>
inline vec<T, 3> cross(const vec<T, 3>& a, const vec<T, 3>& b) {
  return vec<T, 3>(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x);
}
template <class T, int N>
inline T length_squared(const vec<T, N>& a) {
  return dot(a, a);
}
template <class T, int N>
inline T length(const vec<T, N>& a) {
  return sqrt(dot(a, a));
}
template <class T, int N>
inline vec<T, N> normalize(const vec<T, N>& a) {
  return a * rsqrt(dot(a, a));
}

// ---- limits
template <class T>
struct numeric_limits {
  static_assert(is_integral_v<T>);
  static constexpr bool is_specialized = true, is_integer = true, is_signed = std::is_signed_v<T>, is_exact = true, has_infinity = false,
                        has_quiet_NaN = false;
  static constexpr int digits = is_same_v<T, bool> ? 1 : 8 * static_cast<int>(sizeof(T)) - (is_signed ? 1 : 0);
  static constexpr T max() { return is_same_v<T, bool> ? T(1) : static_cast<T>((is_signed ? ~0ul >> 1 : ~0ul) >> (64 - 8 * sizeof(T))); }
  static constexpr T min() { return is_signed ? static_cast<T>(-static_cast<long>(max()) - 1) : T(0); }
  static constexpr T lowest() { return min(); }
  static constexpr T epsilon() { return T(0); }
  static constexpr T infinity() { return T(0); }
  static constexpr T quiet_NaN() { return T(0); }
};
#define METAL_LIMITS(T, SMALLEST, LARGEST, EPSILON, DIGITS, DENORMAL)        \
  template <>                                                                \
  struct numeric_limits<T> {                                                 \
    static constexpr bool is_specialized = true, is_integer = false, is_signed = true, is_exact = false, has_infinity = true, \
                          has_quiet_NaN = true;                              \
    static constexpr int digits = DIGITS;                                    \
    static constexpr T max() { return static_cast<T>(LARGEST); }             \
    static constexpr T min() { return static_cast<T>(SMALLEST); }            \
    static constexpr T lowest() { return static_cast<T>(-LARGEST); }         \
    static constexpr T epsilon() { return static_cast<T>(EPSILON); }         \
    static constexpr T infinity() { return static_cast<T>(INFINITY); }       \
    static constexpr T quiet_NaN() { return static_cast<T>(NAN); }           \
    static constexpr T denorm_min() { return static_cast<T>(DENORMAL); }     \
  };
METAL_LIMITS(float, __FLT_MIN__, __FLT_MAX__, __FLT_EPSILON__, 24, 0x1p-149f)
METAL_LIMITS(half, 0x1p-14f, 65504.0f, 0x1p-10f, 11, 0x1p-24f)
METAL_LIMITS(bfloat, 0x1p-126f, 0x1.fep127f, 0x1p-7f, 8, 0x1p-133f)

}  // namespace metal
