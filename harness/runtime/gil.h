// Lets go of Python's lock while a thread waits for its turn. The functions are looked up at run time, so that the
// library depends on no version of Python and also runs in a process without one.
#pragma once

#include <dlfcn.h>

namespace mps_sim {

class GilRelease {
 public:
  GilRelease() {
    static const auto check = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "PyGILState_Check"));
    static const auto is_initialized = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "Py_IsInitialized"));
    static const auto save = reinterpret_cast<void* (*)()>(dlsym(RTLD_DEFAULT, "PyEval_SaveThread"));
    if (check != nullptr && save != nullptr && is_initialized != nullptr && is_initialized() && check()) saved_ = save();
  }
  ~GilRelease() {
    static const auto restore = reinterpret_cast<void (*)(void*)>(dlsym(RTLD_DEFAULT, "PyEval_RestoreThread"));
    if (saved_ != nullptr) restore(saved_);
  }
  GilRelease(const GilRelease&) = delete;
  GilRelease& operator=(const GilRelease&) = delete;

 private:
  void* saved_ = nullptr;
};

// For a fault: the thread has the lock while this lives, whether torch's binding had released it or not.
class GilHold {
 public:
  GilHold() {
    static const auto is_initialized = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "Py_IsInitialized"));
    static const auto ensure = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "PyGILState_Ensure"));
    is_held_ = ensure != nullptr && is_initialized != nullptr && is_initialized();
    if (is_held_) state_ = ensure();
  }
  ~GilHold() {
    static const auto release = reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "PyGILState_Release"));
    if (is_held_) release(state_);
  }
  GilHold(const GilHold&) = delete;
  GilHold& operator=(const GilHold&) = delete;

 private:
  bool is_held_ = false;
  int state_ = 0;
};

}  // namespace mps_sim
