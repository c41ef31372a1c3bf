// Reads what an operator's schema says, and lists by name what it does not say: operators whose CPU kernels give other
// shapes than their meta functions, those that take CPU indices, those with a number that changes from call to call.
#include "plan.h"

#include <ATen/core/jit_type.h>

#include <memory>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "device_type.h"
#include "substitutes.h"

namespace mps_sim {

namespace {

using Names = std::unordered_set<std::string_view>;

bool is_tensor_type(const c10::Type& type) {
  if (type.kind() == c10::TypeKind::OptionalType || type.kind() == c10::TypeKind::ListType) {
    return is_tensor_type(*type.containedType(0));
  }
  return type.kind() == c10::TypeKind::TensorType;
}

bool is_number_type(const c10::Type& type) {
  if (type.kind() == c10::TypeKind::OptionalType || type.kind() == c10::TypeKind::ListType) {
    return is_number_type(*type.containedType(0));
  }
  return type.kind() == c10::TypeKind::NumberType || type.kind() == c10::TypeKind::FloatType;
}

bool has_generator(const c10::FunctionSchema& schema) {
  for (const auto& argument : schema.arguments()) {
    if (argument.type()->str().find("Generator") != std::string::npos) return true;
  }
  return false;
}

// Operators whose CPU kernels give other shapes than their meta functions, or read on the host what would be in flight.
bool is_synchronous_by_name(std::string_view name) {
  static const Names names = {"aten::_embedding_bag", "aten::_embedding_bag_forward_only", "aten::_ctc_loss",
                              "aten::_pack_padded_sequence", "aten::multilabel_margin_loss_forward"};
  return names.count(name) > 0;
}

// Of operators that scenarios use: as with PYTORCH_ENABLE_MPS_FALLBACK=1, without its warning.
bool falls_back_to_cpu_by_name(std::string_view name) {
  static const Names names = {"aten::special_airy_ai", "aten::_linalg_svd", "aten::_linalg_eigh", "aten::linalg_eig"};
  return names.count(name) > 0;
}

bool takes_cpu_tensors_by_name(std::string_view name) {
  static const Names names = {"aten::index",         "aten::index_put",        "aten::index_put_",
                              "aten::_index_put_impl_", "aten::_unsafe_index", "aten::_unsafe_index_put",
                              "aten::_pack_padded_sequence", "aten::_pack_padded_sequence_backward",
                              "aten::_ctc_loss", "aten::_ctc_loss_backward"};
  return names.count(name) > 0;
}

bool has_scalar_operand_by_name(std::string_view name) {
  static const Names names = {"aten::add",  "aten::add_", "aten::sub",  "aten::sub_",
                              "aten::mul",  "aten::mul_", "aten::div",  "aten::div_"};
  return names.count(name) > 0;
}

bool returns_statistics_by_name(std::string_view name) {
  static const Names names = {"aten::native_layer_norm",         "aten::native_group_norm",
                              "aten::native_batch_norm",         "aten::_native_batch_norm_legit",
                              "aten::_batch_norm_with_update",   "aten::_batch_norm_no_update",
                              "aten::_native_batch_norm_legit_no_training"};
  return names.count(name) > 0;
}

// Numbers that change from call to call would make a new graph each time: those of in-place operators (optimizers) and
// those with these names.
bool is_runtime_value(const std::string& operator_name, const c10::Argument& argument) {
  static const Names names = {"alpha", "beta", "value", "weight", "scalars"};
  if (!is_number_type(*argument.type())) return false;
  return operator_name.back() == '_' || names.count(argument.name()) > 0;
}

size_t argument_with_alias(const c10::FunctionSchema& schema, const c10::AliasInfo& alias) {
  for (size_t index = 0; index < schema.arguments().size(); ++index) {
    const auto* info = schema.arguments()[index].alias_info();
    if (info != nullptr && info->beforeSets() == alias.beforeSets()) return index;
  }
  return 0;
}

}  // namespace

Plan::Plan(const c10::OperatorHandle& handle) : op(handle), name(handle.operator_name().name) {
  const auto& schema = op.schema();
  is_random = has_generator(schema) || is_random_substitute(name);
  for (const auto& argument : schema.arguments()) {
    ArgumentPlan plan;
    plan.is_written = argument.alias_info() != nullptr && argument.alias_info()->isWrite();
    plan.is_out = plan.is_written && argument.kwarg_only();
    plan.is_runtime_value = !is_random && is_runtime_value(name, argument);  // What a distribution refuses is refused at the call.
    plan.is_mode = argument.name() == "train" || argument.name() == "training";
    arguments.push_back(plan);
  }
  for (const auto& result : schema.returns()) {
    const auto* alias = result.alias_info();
    Returns kind = Returns::fresh;
    if (alias != nullptr) kind = alias->isWrite() ? Returns::written_argument : Returns::view;
    if (!is_tensor_type(*result.type())) kind = Returns::value;
    returns.push_back({kind, alias != nullptr ? argument_with_alias(schema, *alias) : 0});
    is_view = is_view || kind == Returns::view;
    is_always_synchronous = is_always_synchronous || kind == Returns::value;
  }
  falls_back_to_cpu = falls_back_to_cpu_by_name(name);
  is_always_synchronous = is_always_synchronous || falls_back_to_cpu || is_synchronous_by_name(name);
  takes_cpu_tensors = takes_cpu_tensors_by_name(name);
  has_scalar_operand = has_scalar_operand_by_name(name);
  returns_statistics = returns_statistics_by_name(name);
  substitute = substitute_for(name);
  if (!op.operator_name().overload_name.empty()) name += "." + op.operator_name().overload_name;
}

const Plan& plan_for(const c10::OperatorHandle& op) {
  thread_local std::unordered_map<const void*, const Plan*> known;
  const Plan*& plan = known[&op.schema()];
  if (plan != nullptr) return *plan;
  static std::mutex mutex;
  static auto* const plans = new std::unordered_map<const void*, std::unique_ptr<const Plan>>;
  std::lock_guard<std::mutex> guard(mutex);
  auto& made = (*plans)[&op.schema()];
  if (made == nullptr) made = std::make_unique<const Plan>(op);
  plan = made.get();
  return *plan;
}

}  // namespace mps_sim
