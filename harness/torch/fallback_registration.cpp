// Operators that run by torch's CPU kernels: all for which nothing else is registered, and torch's own compositions where
// the CPU has one kernel. Serves the model and a PyTorch tree's own core alike.
#include <torch/library.h>

#include "attention.h"
#include "device_type.h"
#include "fallback.h"

namespace mps_sim {

namespace {

torch::CppFunction fallback_function() { return torch::CppFunction::makeFromBoxedFunction<&boxed_fallback>(); }

#ifndef MPS_STRESS_TREE_OPERATORS

bool returns_view(const c10::FunctionSchema& schema) {
  for (const auto& result : schema.returns()) {
    if (result.alias_info() != nullptr && !result.alias_info()->isWrite()) return true;
  }
  return false;
}

// torch's own compositions come before a fallback. Where the CPU has one kernel for such an operator, the device takes
// that: one submission instead of several.
void prefer_cpu_kernels(torch::Library& library) {
  auto& dispatcher = c10::Dispatcher::singleton();
  for (const auto& name : dispatcher.getAllOpNames()) {
    if (name.name.rfind("aten::", 0) != 0) continue;
    auto op = dispatcher.findSchema(name);
    if (!op.has_value() || returns_view(op->schema())) continue;
    const bool is_composed = op->hasKernelForDispatchKey(c10::DispatchKey::CompositeExplicitAutogradNonFunctional) ||
                             op->hasKernelForDispatchKey(c10::DispatchKey::CompositeExplicitAutograd);
    if (!is_composed || !op->hasKernelForDispatchKey(c10::DispatchKey::CPU)) continue;
    const bool is_left_out = name.name == "aten::native_layer_norm" || name.name == "aten::narrow_copy" ||
                             name.name.rfind("aten::_foreach", 0) == 0;
    if (is_left_out) continue;
    library.impl(toString(name).c_str(), fallback_function());
  }
}

#endif

}  // namespace

TORCH_LIBRARY_IMPL(_, MPS_SIM_KEY, library) { library.fallback(fallback_function()); }

// With a tree's own operators (MPS_STRESS_TREE_OPERATORS) compositions are what they are on a Mac: the tree serves their parts. See
// core/operators/convolution.cpp.
#ifndef MPS_STRESS_TREE_OPERATORS
// A libtorch for Linux chooses no convolution for MPS.
TORCH_LIBRARY_IMPL(aten, MPS_SIM_KEY, library) {
  library.impl("convolution", fallback_function());
  library.impl("convolution_backward", fallback_function());
  library.impl("convolution_overrideable", fallback_function());
  library.impl("convolution_backward_overrideable", fallback_function());
  library.impl("scaled_dot_product_attention", fallback_function());
  prefer_cpu_kernels(library);
}

TORCH_LIBRARY_IMPL(aten, MPS_SIM_AUTOGRAD_KEY, library) {
  library.impl("scaled_dot_product_attention", TORCH_FN(attention));
}
#endif

// Without these a conjugated view is resolved by a copy that resolves it by a copy.
TORCH_LIBRARY_IMPL(aten, Conjugate, library) { library.impl("_copy_from", torch::CppFunction::makeFallthrough()); }
TORCH_LIBRARY_IMPL(aten, Negative, library) { library.impl("_copy_from", torch::CppFunction::makeFallthrough()); }

}  // namespace mps_sim
