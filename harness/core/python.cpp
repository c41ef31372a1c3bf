// Gives torch._C the functions of the tree's own torch/csrc/mps/Module.cpp, which a torch for Linux was built without.
#include <Python.h>

namespace mps_sim {
void trace_guard();
}

namespace torch::mps {
PyMethodDef* python_functions();
[[gnu::weak]] void initModule(PyObject* module);  // Since 2.6.
}  // namespace torch::mps

// Returns how many functions were set, or -1 with a Python error. `module` is torch._C.
extern "C" int mps_stress_core_install(PyObject* module) {
  mps_sim::trace_guard();
  int count = 0;
  for (PyMethodDef* one = torch::mps::python_functions(); one->ml_name != nullptr; ++one, ++count) {
    PyObject* function = PyCFunction_New(one, nullptr);
    if (function == nullptr || PyObject_SetAttrString(module, one->ml_name, function) < 0) return -1;
    Py_DECREF(function);
  }
  if (&torch::mps::initModule != nullptr) torch::mps::initModule(module);
  return count;
}
