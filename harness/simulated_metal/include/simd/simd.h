// Vectors of Apple's simd library that PyTorch's sources measure or fill.
#pragma once
typedef unsigned int simd_uint3 __attribute__((ext_vector_type(3)));
typedef unsigned long simd_ulong3 __attribute__((ext_vector_type(3)));
