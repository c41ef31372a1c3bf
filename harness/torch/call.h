// One call of an operator, taken apart: its tensors, the numbers that change, and the key of its compiled graph.
#pragma once

#include <c10/util/SmallVector.h>

#include "plan.h"
#include "runtime/device.h"
#include "tensors.h"

namespace mps_sim {

enum class Place : uint8_t { undefined, device, cpu_number, cpu };

Place place_of(const at::Tensor& tensor);

// Whether it is a list of tensors that may be missing. Not `IValue::isOptionalTensorList`, which denies it of a list that
// TorchScript has made.
bool is_optional_tensor_list(const c10::IValue& value);

struct Call {
  Call(const Plan& plan, const Stack& stack);

  const Plan& plan;
  c10::ArrayRef<c10::IValue> arguments;
  c10::SmallVector<const at::Tensor*, 8> tensors;  // In the order of the arguments, lists flattened.
  GraphKey key;
  bool has_key = true;  // False when an argument has no place in a key.

 private:
  void add(const c10::IValue& value, bool is_runtime_value);
  void add_tensor(const at::Tensor& tensor);
  void add_list(const c10::IValue& value, bool is_runtime_value);
};

}  // namespace mps_sim
