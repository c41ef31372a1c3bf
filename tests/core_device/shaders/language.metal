// What the language has, a kernel each: written for these tests.
#include <metal_stdlib>
using namespace metal;

constant float TABLE[3] = {0.5, 1.5, 2.5};

#define EIGHTH(T) template [[host_name("eighth_" #T)]] kernel void eighth<T>(device T*, constant T&, uint)

template <typename T>
kernel void eighth(device T* out [[buffer(0)]], constant T& by [[buffer(1)]], uint i [[thread_position_in_grid]]) {
  out[i] = T(out[i] * by / 8.0);
}
EIGHTH(float);
EIGHTH(half);
EIGHTH(bfloat);

// Named like a function of Metal's, which it calls.
template <typename T>
kernel void fmax(device const T* a [[buffer(0)]], device T* out [[buffer(1)]], uint i [[thread_position_in_grid]]) {
  out[i] = fmax(a[i], T(1));
}
template [[host_name("fmax_float")]] kernel void fmax<float>(device const float*, device float*, uint);

namespace inner {
kernel void numbered(device uint* out, constant uint& first, constant uint& second [[buffer(2)]], uint i [[thread_position_in_grid]]) {
  out[i] = first * 10 + second;
}
}  // namespace inner

kernel void vectors(device float* out [[buffer(0)]]) {
  float4 v(1, float2(2, 3), 4);
  v.xy += v.zw;               // 4 6 3 4
  out[0] = v.x + v.y * 10;    // 64
  out[1] = dot(v.wzyx, float4(1, 10, 100, 1000));  // 4 + 30 + 600 + 4000
  half3 h = half3(v.xyz) / half(3);
  out[2] = float(h.z);        // 1
  packed_float3 p = packed_float3(v.xyz * 2);
  out[3] = p.y + sizeof(packed_float3) + sizeof(float3);  // 12 + 12 + 16
  float2x2 m = float2x2(float2(1, 2), float2(3, 4));
  out[4] = (m * float2(1, 1)).x * 10 + (float2(1, 1) * m).x;  // 4 * 10 + 3
  out[5] = TABLE[1] + 0.25;
  out[6] = all(v > 2.0) && any(v == 6.0) && !any(isnan(v)) ? 1 : 0;
  out[7] = as_type<float>(as_type<uint>(2.0f) + 1u) > 2 ? select(1.0f, 7.0f, true) : 0;
  out[8] = bfloat(1.0) + bfloat(0.001953125);  // Below what bfloat has: 1.
  out[9] = 2.0h * 0.5;
  float2 pair[2] = {{1, 2}, float2(3)};
  out[10] = pair[0].g + pair[1].r;
  half short_float = half(3.14);
  out[11] = half(bfloat(short_float));  // Has seven bits behind the first, as bfloat has.
}

kernel void positions(device uint* out [[buffer(0)]], uint2 at [[thread_position_in_grid]], uint2 size [[threads_per_grid]],
                      uint2 local [[thread_position_in_threadgroup]], uint2 group [[threadgroup_position_in_grid]],
                      uint2 threads [[threads_per_threadgroup]], uint2 asked [[dispatch_threads_per_threadgroup]],
                      uint index [[thread_index_in_threadgroup]], ushort lane [[thread_index_in_simdgroup]],
                      ushort simd [[simdgroup_index_in_threadgroup]]) {
  bool holds = all(at == group * asked + local) && index == local.y * threads.x + local.x && index == simd * 32u + lane;
  out[at.y * size.x + at.x] = holds ? threads.x * 100 + threads.y : 0;
}

kernel void lanes(device const float* in [[buffer(0)]], device float* out [[buffer(1)]], uint i [[thread_index_in_threadgroup]]) {
  float v = in[i];
  out[i * 10 + 0] = simd_sum(v);
  out[i * 10 + 1] = simd_max(v);
  out[i * 10 + 2] = simd_shuffle_down(v, 1);
  out[i * 10 + 3] = simd_shuffle_xor(v, 1);
  out[i * 10 + 4] = simd_prefix_inclusive_sum(v);
  out[i * 10 + 5] = simd_prefix_exclusive_sum(v);
  out[i * 10 + 6] = simd_broadcast(v, 3);
  out[i * 10 + 7] = ulong(simd_ballot(v > 8)) & 0xffff;
  out[i * 10 + 8] = simd_shuffle_and_fill_up(v, 100.0f, 1);
  float odd = 0;
  if (i % 2 == 1) odd = simd_sum(v);  // Of the odd ones: the others wait at the barrier.
  threadgroup_barrier(mem_flags::mem_none);
  out[i * 10 + 9] = odd;
}

// Threadgroup memory that is declared, and that is bound.
kernel void transpose(device const float* in [[buffer(0)]], device float* out [[buffer(1)]], threadgroup float* row [[threadgroup(0)]],
                      uint2 at [[thread_position_in_threadgroup]]) {
  threadgroup float tile[8][9], unused[4];
  threadgroup atomic_uint count;
  threadgroup float(*same)[9] = tile;
  if (at.x == 0 && at.y == 0) atomic_store_explicit(&count, 0u, memory_order_relaxed);
  unused[at.x % 4] = 1;
  tile[at.y][at.x] = in[at.y * 8 + at.x];
  threadgroup_barrier(mem_flags::mem_threadgroup);
  atomic_fetch_add_explicit(&count, 1u, memory_order_relaxed);
  if (at.y == 0) row[at.x] = tile[at.x][3];
  threadgroup_barrier(mem_flags::mem_threadgroup);
  out[at.y * 8 + at.x] = same[at.x][at.y] + row[0] * 0 + (atomic_load_explicit(&count, memory_order_relaxed) == 64 ? 0 : 1000);
}

kernel void product(device const half* a [[buffer(0)]], device const float* b [[buffer(1)]], device float* out [[buffer(2)]]) {
  simdgroup_half8x8 left;
  simdgroup_float8x8 right, sum = simdgroup_float8x8(1.0f);
  simdgroup_load(left, a, 8);
  simdgroup_load(right, b, 8, ulong2(0), true);
  simdgroup_multiply_accumulate(sum, left, right, sum);
  simdgroup_store(sum, out, 8);
}

kernel void count(device atomic_int* total [[buffer(0)]], device atomic<float>* sum [[buffer(1)]], device atomic_uint* most [[buffer(2)]],
                  uint i [[thread_position_in_grid]]) {
  atomic_fetch_add_explicit(total, -2, memory_order_relaxed);
  atomic_fetch_add_explicit(sum, 0.5f, memory_order_relaxed);
  atomic_fetch_max_explicit(most, i, memory_order_relaxed);
}

struct Pair {
  device const float* values [[id(0)]];
  array<device float*, 2> results [[id(1)]];
};
kernel void through(constant Pair& pair [[buffer(0)]], uint i [[thread_position_in_grid]]) {
  pair.results[0][i] = pair.values[i];
  pair.results[1][i] = -pair.values[i];
}
