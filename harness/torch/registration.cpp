// Which function of the glue serves which operator of the model. The rest: fallback_registration.cpp.
#include <torch/library.h>

#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/view_native.h>

#include "copy.h"
#include "device_type.h"
#include "factories.h"
#include "shared_buffers.h"

namespace mps_sim {

TORCH_LIBRARY_IMPL(aten, MPS_SIM_KEY, library) {
  library.impl("empty.memory_format", TORCH_FN(empty));
  library.impl("empty_strided", TORCH_FN(empty_strided));
  library.impl("_efficientzerotensor", TORCH_FN(efficient_zero_tensor));
  library.impl("as_strided", TORCH_FN(at::native::as_strided_tensorimpl));
  library.impl("view", TORCH_FN(at::native::view));
  library.impl("_reshape_alias", TORCH_FN(at::native::_reshape_alias));
  library.impl("resize_", TORCH_FN(resize_));
  library.impl("set_.source_Storage_storage_offset", TORCH_FN(set_storage_));
  library.impl("set_.source_Storage", TORCH_FN(set_whole_storage_));
  library.impl("set_.source_Tensor", TORCH_FN(set_tensor_));
  library.impl("set_", TORCH_FN(set_empty_));
  library.impl("record_stream", TORCH_FN(record_tensor_on_stream));
  library.impl("copy_", TORCH_FN(copy_));
  library.impl("_copy_from", TORCH_FN(copy_from));
  library.impl("_copy_from_and_resize", TORCH_FN(copy_from_and_resize));
  library.impl("_local_scalar_dense", TORCH_FN(local_scalar_dense));
  library.impl("linear", torch::CppFunction::makeFromBoxedFunction<&linear>());
  library.impl("native_layer_norm", torch::CppFunction::makeFromBoxedFunction<&layer_norm>());
}

}  // namespace mps_sim
