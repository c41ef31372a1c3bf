// Models MetalShaderLibrary: a look-up by name, and a pipeline that is made outside the lock on a miss. Without the lock
// (the fault) two threads that are first make one pipeline each, and the second ends the first one's while it is in use.
#include "shader_library.h"

#include <mutex>

#include "locks.h"

namespace mps_sim {

ShaderLibrary::ShaderLibrary(const std::vector<std::string>& names) : lock_(std::make_unique<Lock>()) {
  for (const std::string& name : names) slots_.emplace(name, Slot{});
}

ShaderLibrary::~ShaderLibrary() {
  for (auto& [name, slot] : slots_) delete slot.pipeline;
}

std::shared_ptr<Pipeline> ShaderLibrary::pipeline(const std::string& name) {
  const auto found = slots_.find(name);
  if (found == slots_.end()) throw DeviceError("Failed to create function state object for: " + name);
  Slot& slot = found->second;
  if (strikes(Fault::shader_library_unlocked)) {
    if (slot.pipeline != nullptr) return *slot.pipeline;
    pay_compile_cost();
    window(Fault::shader_library_unlocked);
    std::shared_ptr<Pipeline>* const before = slot.pipeline;
    auto made = std::make_shared<Pipeline>();
    if (before != nullptr) destroy_in_use(*before);
    slot.pipeline = new std::shared_ptr<Pipeline>(made);
    return made;
  }
  {
    std::lock_guard<Lock> guard(*lock_);
    if (slot.pipeline != nullptr) return *slot.pipeline;
  }
  pay_compile_cost();  // Outside the lock, so that different kernels are compiled side by side.
  std::lock_guard<Lock> guard(*lock_);
  if (slot.pipeline == nullptr) slot.pipeline = new std::shared_ptr<Pipeline>(std::make_shared<Pipeline>());
  return *slot.pipeline;
}

}  // namespace mps_sim
