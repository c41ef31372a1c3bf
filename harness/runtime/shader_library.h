// Kernels that a program brings along: a library has named kernels, and compiles a kernel's pipeline when it is asked for
// first. All threads share a library, and its pipelines are behind a lock of its own.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "graph_cache.h"

namespace mps_sim {

class Lock;

class ShaderLibrary {
 public:
  explicit ShaderLibrary(const std::vector<std::string>& names);
  ~ShaderLibrary();

  // Compiles on a miss, and pays for it. Throws DeviceError for a name that the library has not.
  std::shared_ptr<Pipeline> pipeline(const std::string& name);

 private:
  // By a plain pointer, never freed where a fault replaces it: an assignment that races must not race for a reference count.
  struct Slot {
    std::shared_ptr<Pipeline>* pipeline = nullptr;
  };

  std::unique_ptr<Lock> lock_;
  std::unordered_map<std::string, Slot> slots_;  // Its keys never change, so that looking one up needs no lock.
};

}  // namespace mps_sim
