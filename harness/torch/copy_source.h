// For the fault copy_source_freed: looks at memory that may have been freed, without the risk of dying from it.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstring>
#include <vector>

namespace mps_sim {

// Empty when the memory is not mapped any more.
inline std::vector<char> read_possibly_freed(void* memory, size_t bytes) {
  std::vector<char> read(bytes);
#ifdef __linux__
  iovec from{memory, bytes}, to{read.data(), bytes};
  if (process_vm_readv(getpid(), &to, 1, &from, 1, 0) != static_cast<ssize_t>(bytes)) read.clear();
#else
  std::memcpy(read.data(), memory, bytes);
#endif
  return read;
}

}  // namespace mps_sim
