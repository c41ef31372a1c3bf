// Gives torch._C the functions of the tree's own torch/csrc/mps/Module.cpp, which a torch for Linux was built without.
#include <Python.h>

#include <cstring>

#include "runtime/order.h"
#include "runtime/order_host.h"

namespace mps_sim {
void trace_guard();
void watch_host_memory();
}

namespace torch::mps {
PyMethodDef* python_functions();
[[gnu::weak]] void initModule(PyObject* module);  // Since 2.6.
}  // namespace torch::mps

namespace {

PyCFunction tree_synchronize = nullptr;

// torch.mps.synchronize(), which does not come by the guard.
PyObject* synchronize(PyObject* module, PyObject* none) {
  PyObject* result = tree_synchronize(module, none);
  if (result != nullptr) mps_sim::order::wait_returned(mps_sim::order::kAllStreams, "torch.mps.synchronize");
  return result;
}

}  // namespace

// Returns how many functions were set, or -1 with a Python error. `module` is torch._C.
extern "C" int mps_stress_core_install(PyObject* module) {
  mps_sim::trace_guard();
  mps_sim::watch_host_memory();
  int count = 0;
  for (PyMethodDef* one = torch::mps::python_functions(); one->ml_name != nullptr; ++one, ++count) {
    if (std::strcmp(one->ml_name, "_mps_deviceSynchronize") == 0 && one->ml_meth != &synchronize) {
      tree_synchronize = one->ml_meth;
      one->ml_meth = &synchronize;
    }
    PyObject* function = PyCFunction_New(one, nullptr);
    if (function == nullptr || PyObject_SetAttrString(module, one->ml_name, function) < 0) return -1;
    Py_DECREF(function);
  }
  if (&torch::mps::initModule != nullptr) torch::mps::initModule(module);
  return count;
}

// What was promised and not kept since the last call, as a list of lines.
extern "C" PyObject* mps_stress_core_take_broken_promises() {
  const std::vector<std::string> lines = mps_sim::order::take_broken();
  PyObject* list = PyList_New(0);
  for (const std::string& line : lines) {
    PyObject* text = PyUnicode_FromStringAndSize(line.data(), static_cast<Py_ssize_t>(line.size()));
    if (list == nullptr || text == nullptr || PyList_Append(list, text) < 0) return nullptr;
    Py_DECREF(text);
  }
  return list;
}
