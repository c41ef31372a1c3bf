// Kernels that a tree's operators register for MPS with a DispatchStub. A libtorch for Linux keeps them and never looks: the case
// for MPS in DispatchStub.cpp was compiled out. Its two functions that look are called through its own table of imported
// functions, so the entries in that table are replaced, when this library is loaded. Preloading a library would do the same, and
// every child process of the program would have to be kept from it.
#include <ATen/native/DispatchStub.h>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "runtime/assertions.h"

namespace {

using at::native::DispatchResult;
using at::native::DispatchStubImpl;
using at::native::ErrorType;

// The arguments behind the device are the CPU's kernels, as many as libtorch was built for: they are passed on as they are.
constexpr const char* kLook = "_ZN2at6native16DispatchStubImpl12get_call_ptrEN3c1010DeviceTypeEPvS4_S4_";
constexpr const char* kTryLook = "_ZN2at6native16DispatchStubImpl16try_get_call_ptrEN3c1010DeviceTypeEPvS4_S4_";

using Look = void* (*)(DispatchStubImpl*, c10::DeviceType, void*, void*, void*);
using TryLook = DispatchResult (*)(DispatchStubImpl*, c10::DeviceType, void*, void*, void*);

Look look_before = nullptr;
TryLook try_look_before = nullptr;

void* look(DispatchStubImpl* stub, c10::DeviceType device, void* one, void* two, void* three) {
  if (device == c10::DeviceType::MPS && stub->mps_dispatch_ptr != nullptr) return stub->mps_dispatch_ptr;
  return look_before(stub, device, one, two, three);
}

DispatchResult try_look(DispatchStubImpl* stub, c10::DeviceType device, void* one, void* two, void* three) {
  if (device != c10::DeviceType::MPS) return try_look_before(stub, device, one, two, three);
  if (stub->mps_dispatch_ptr != nullptr) return stub->mps_dispatch_ptr;
  return ErrorType::MissingDeviceKernel;
}

template <typename T>
T address(const dl_phdr_info& of, const ElfW(Dyn)* entries, int64_t tag) {
  for (const ElfW(Dyn)* one = entries; one->d_tag != DT_NULL; ++one) {
    if (one->d_tag != tag) continue;
    const bool is_relocated = one->d_un.d_ptr >= of.dlpi_addr;  // By the loader of glibc, for most tags.
    return reinterpret_cast<T>(one->d_un.d_ptr + (is_relocated ? 0 : of.dlpi_addr));
  }
  return nullptr;
}

size_t size_in(const ElfW(Dyn)* entries, int64_t tag) {
  for (const ElfW(Dyn)* one = entries; one->d_tag != DT_NULL; ++one) {
    if (one->d_tag == tag) return one->d_un.d_val;
  }
  return 0;
}

void replace(void** entry, void* function) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  auto* begin = reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(entry) / page * page);
  // Read-only where the loader has resolved everything at once; both words of an entry lie on one page.
  if (mprotect(begin, page, PROT_READ | PROT_WRITE) != 0) mps_sim::not_simulated("a libtorch whose table of functions cannot be written");
  *entry = function;
}

// Returns the function's own address, which its name has in libtorch; the entry may still be that of the loader's resolver.
void* replaced(const dl_phdr_info& library, const ElfW(Sym)& symbol, const ElfW(Rela)& relocation, void* function) {
  replace(reinterpret_cast<void**>(library.dlpi_addr + relocation.r_offset), function);
  return reinterpret_cast<void*>(library.dlpi_addr + symbol.st_value);
}

int visit(dl_phdr_info* library, size_t, void*) {
  if (std::strstr(library->dlpi_name, "libtorch_cpu") == nullptr) return 0;
  const ElfW(Dyn)* entries = nullptr;
  for (int one = 0; one < library->dlpi_phnum; ++one) {
    const auto& header = library->dlpi_phdr[one];
    if (header.p_type == PT_DYNAMIC) entries = reinterpret_cast<const ElfW(Dyn)*>(library->dlpi_addr + header.p_vaddr);
  }
  const auto* relocations = address<const ElfW(Rela)*>(*library, entries, DT_JMPREL);
  const auto* symbols = address<const ElfW(Sym)*>(*library, entries, DT_SYMTAB);
  const auto* names = address<const char*>(*library, entries, DT_STRTAB);
  const size_t count = size_in(entries, DT_PLTRELSZ) / sizeof(ElfW(Rela));
  for (size_t one = 0; one < count; ++one) {
    const ElfW(Sym)& symbol = symbols[ELF64_R_SYM(relocations[one].r_info)];
    const char* name = names + symbol.st_name;
    if (std::strcmp(name, kLook) == 0) {
      look_before = reinterpret_cast<Look>(replaced(*library, symbol, relocations[one], reinterpret_cast<void*>(look)));
    } else if (std::strcmp(name, kTryLook) == 0) {
      try_look_before = reinterpret_cast<TryLook>(replaced(*library, symbol, relocations[one], reinterpret_cast<void*>(try_look)));
    }
  }
  return 1;
}

__attribute__((constructor)) void install() {
  dl_iterate_phdr(visit, nullptr);
  if (look_before == nullptr || try_look_before == nullptr) {
    mps_sim::not_simulated("a libtorch whose DispatchStub is called in another way than that of x86");
  }
}

}  // namespace
