#include "fibers.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace metal_shaders {

using metal_abi::kStackBytes;
using metal_abi::Thread;

Stacks::Stacks() {
  // One more, so that the first begins at a multiple of its size.
  void* mapped = mmap(nullptr, kBytes + kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) {
    std::perror("mps-stress: no address space for the threads of a threadgroup");
    std::abort();
  }
  auto first = (reinterpret_cast<uintptr_t>(mapped) + kStackBytes - 1) / kStackBytes * kStackBytes;
  begin_ = reinterpret_cast<char*>(first);
}

Thread* Stacks::thread(unsigned stack) const {
  return metal_abi::thread_at(reinterpret_cast<unsigned long>(begin_ + stack * kStackBytes));
}

#if defined(__x86_64__)

void* Stacks::prepare(unsigned stack, void (*body)()) {
  if (stack < kGuarded && !is_guarded_[stack]) {
    mprotect(begin_ + stack * kStackBytes, static_cast<size_t>(sysconf(_SC_PAGESIZE)), PROT_NONE);
    is_guarded_[stack] = true;
  }
  auto** top = reinterpret_cast<void**>(reinterpret_cast<uintptr_t>(thread(stack)) & ~uintptr_t{15});
  *--top = nullptr;  // In the place of a return address: at a function's entry the stack is 8 bytes off a multiple of 16.
  *--top = reinterpret_cast<void*>(body);
  for (int saved = 0; saved < 6; ++saved) *--top = nullptr;
  return top;
}

// The registers that a called function must keep; the processor's modes for floats are the same on all stacks.
asm(R"(
.text
.globl mps_stress_switch_stack
.hidden mps_stress_switch_stack
.type mps_stress_switch_stack, @function
mps_stress_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size mps_stress_switch_stack, .-mps_stress_switch_stack
)");
extern "C" __attribute__((visibility("hidden"))) void mps_stress_switch_stack(void** from, void* to);

METAL_SHADERS_SWITCHES void switch_stack(void** from, void* to) { mps_stress_switch_stack(from, to); }

#else

// Slower by a system call: the C library's own.
namespace {
struct Context {
  ucontext_t state;
};
}  // namespace

void* Stacks::prepare(unsigned stack, void (*body)()) {
  auto* made = new Context;
  getcontext(&made->state);
  made->state.uc_stack.ss_sp = begin_ + stack * kStackBytes;
  made->state.uc_stack.ss_size = static_cast<size_t>(reinterpret_cast<char*>(thread(stack)) - (begin_ + stack * kStackBytes)) & ~size_t{63};
  made->state.uc_link = nullptr;
  makecontext(&made->state, body, 0);
  return made;
}

METAL_SHADERS_SWITCHES void switch_stack(void** from, void* to) {
  if (*from == nullptr) *from = new Context;
  swapcontext(&static_cast<Context*>(*from)->state, &static_cast<Context*>(to)->state);
}

#endif

}  // namespace metal_shaders
