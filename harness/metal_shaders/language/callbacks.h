// What the compiler calls before each access of memory that a kernel makes: instrumentation of AddressSanitizer with functions of
// our own, which ask the runner whether the memory was bound. No sanitizer's runtime is needed, and none is in the way.
#pragma once

#define METAL_CALLBACK extern "C" __attribute__((visibility("hidden"), no_sanitize("kernel-address"), noinline))

// Half of what a kernel touches are its own variables: on its stack, between the frame of a callback and the thread itself, which
// lies at the top. They need no check.
#define METAL_ACCESS(NAME, BYTES, IS_WRITE)                                                                         \
  METAL_CALLBACK void metal_##NAME##_noabort(const void* memory) {                                                  \
    auto& self = metal_abi::thread_of(__builtin_frame_address(0));                                                  \
    if (memory > __builtin_frame_address(0) && memory < &self) return;                                              \
    self.launch->runtime->access(self, memory, BYTES, IS_WRITE, __builtin_return_address(0));                       \
  }
METAL_ACCESS(load1, 1, 0)
METAL_ACCESS(load2, 2, 0)
METAL_ACCESS(load4, 4, 0)
METAL_ACCESS(load8, 8, 0)
METAL_ACCESS(load16, 16, 0)
METAL_ACCESS(store1, 1, 1)
METAL_ACCESS(store2, 2, 1)
METAL_ACCESS(store4, 4, 1)
METAL_ACCESS(store8, 8, 1)
METAL_ACCESS(store16, 16, 1)

METAL_CALLBACK void metal_loadN_noabort(const void* memory, unsigned long bytes) {
  auto& self = metal_abi::thread_of(__builtin_frame_address(0));
  self.launch->runtime->access(self, memory, bytes, 0, __builtin_return_address(0));
}
METAL_CALLBACK void metal_storeN_noabort(const void* memory, unsigned long bytes) {
  auto& self = metal_abi::thread_of(__builtin_frame_address(0));
  self.launch->runtime->access(self, memory, bytes, 1, __builtin_return_address(0));
}
METAL_CALLBACK void* metal_memcpy(void* to, const void* from, unsigned long bytes) {
  auto& self = metal_abi::thread_of(__builtin_frame_address(0));
  self.launch->runtime->access(self, from, bytes, 0, __builtin_return_address(0));
  self.launch->runtime->access(self, to, bytes, 1, __builtin_return_address(0));
  return __builtin_memcpy(to, from, bytes);
}
METAL_CALLBACK void* metal_memmove(void* to, const void* from, unsigned long bytes) {
  auto& self = metal_abi::thread_of(__builtin_frame_address(0));
  self.launch->runtime->access(self, from, bytes, 0, __builtin_return_address(0));
  self.launch->runtime->access(self, to, bytes, 1, __builtin_return_address(0));
  return __builtin_memmove(to, from, bytes);
}
METAL_CALLBACK void* metal_memset(void* to, int value, unsigned long bytes) {
  auto& self = metal_abi::thread_of(__builtin_frame_address(0));
  self.launch->runtime->access(self, to, bytes, 1, __builtin_return_address(0));
  return __builtin_memset(to, value, bytes);
}
METAL_CALLBACK void metal_handle_no_return() {}

// bfloat's conversions, which libgcc before 13 has not: to the nearest, ties to even.
METAL_CALLBACK __bf16 __truncsfbf2(float from) {
  unsigned bits = __builtin_bit_cast(unsigned, from);
  unsigned short top = static_cast<unsigned short>(from != from ? bits >> 16 | 0x40 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  return __builtin_bit_cast(__bf16, top);
}
