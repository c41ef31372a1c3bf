// Building and running a graph: see nodes.h.
#include "nodes.h"

#include <ATen/ATen.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <exception>
#include <utility>

#include "runtime/assertions.h"

namespace mps_graph {

struct PlainDispatch::State {
  c10::impl::ForceDispatchKeyGuard guard{
      c10::default_included_set,
      c10::default_excluded_set | c10::autograd_dispatch_keyset | c10::DispatchKeySet(c10::DispatchKey::ADInplaceOrView)};
};

PlainDispatch::PlainDispatch() : state_(std::make_unique<State>()) {}
PlainDispatch::~PlainDispatch() = default;

const at::Tensor& Output::meta() const { return node->metas.at(index); }

c10::ScalarType Output::type() const { return node->types.at(index); }

void refuse(const std::string& name, const std::string& why) { mps_sim::metal_assertion(name.c_str(), why.c_str(), "MPSGraph"); }

namespace {

[[noreturn]] void refuse_with(const Node& node, const std::exception& error) {
  const std::string text = error.what();
  refuse(node.name, text.substr(0, text.find('\n')));
}

Values run(const Node& node, const Values& inputs) {
  try {
    return node.compute(inputs);
  } catch (const std::exception& error) {
    refuse_with(node, error);
  }
}

// What an operation gives for these shapes. Some of torch's functions have no meta kernel but one that Python registers, or none:
// they run on zeros of the CPU.
Values run_for_shapes(const Node& node, const Values& metas) {
  try {
    return node.compute(metas);
  } catch (const c10::NotImplementedError&) {
    Values zeros;
    for (const at::Tensor& one : metas) zeros.push_back(at::zeros(one.sizes(), one.options().device(c10::DeviceType::CPU)));
    return run(node, zeros);
  } catch (const std::exception& error) {
    refuse_with(node, error);
  }
}

// The type in which values of a narrow one go from operation to operation; another type is its own.
c10::ScalarType wide_type(c10::ScalarType type) {
  switch (type) {
    case c10::kHalf:
    case c10::kBFloat16:
      return c10::kFloat;
    case c10::kComplexHalf:
      return c10::kComplexFloat;
    default:
      return type;
  }
}

at::Tensor widened(const at::Tensor& value) { return value.to(wide_type(value.scalar_type())); }

// The function must not run on the meta device without all shapes, nor where its results' shapes are values' business.
bool is_shaped(const Node& node, bool shapes_at_run) {
  if (shapes_at_run) return false;
  for (const Output& input : node.inputs) {
    if (!input.meta().defined()) return false;
  }
  return true;
}

}  // namespace

std::shared_ptr<Node> add(const std::string& name, std::vector<Output> inputs, Compute compute,
                          std::vector<std::optional<c10::ScalarType>> types, bool shapes_at_run) {
  auto node = std::make_shared<Node>();
  node->name = name;
  node->inputs = std::move(inputs);
  node->compute = std::move(compute);
  const auto fallback = node->inputs.empty() ? c10::ScalarType::Float : node->inputs[0].type();
  for (const auto& type : types) node->types.push_back(type.value_or(fallback));
  node->metas.resize(types.size());
  if (!is_shaped(*node, shapes_at_run)) return node;
  const PlainDispatch plain;
  Values metas;
  for (const Output& input : node->inputs) metas.push_back(input.meta());
  Values results = run_for_shapes(*node, metas);
  for (size_t index = 0; index < node->metas.size(); ++index) {
    node->metas[index] = results.at(index).to(c10::DeviceType::Meta);
    node->types[index] = node->metas[index].scalar_type();
  }
  return node;
}

std::shared_ptr<Node> placeholder(std::optional<std::vector<int64_t>> shape, c10::ScalarType type) {
  auto node = std::make_shared<Node>();
  node->name = "placeholder";
  node->types = {type};
  node->metas.resize(1);
  if (shape.has_value()) {
    const PlainDispatch plain;
    node->metas[0] = at::empty(*shape, at::TensorOptions(type).device(c10::DeviceType::Meta));
  }
  return node;
}

void Evaluation::feed(const std::shared_ptr<Node>& placeholder, at::Tensor value) {
  known_[placeholder.get()] = {widened(value)};
}

at::Tensor Evaluation::value_of(const Output& output) {
  const at::Tensor value = values_of(output.node).at(output.index);
  const c10::ScalarType type = output.type();
  return wide_type(type) == value.scalar_type() ? value.to(type) : value;
}

const Values& Evaluation::values_of(const std::shared_ptr<Node>& node) {
  auto found = known_.find(node.get());
  if (found != known_.end()) return found->second;
  if (!node->compute) refuse("encodeToCommandBuffer:feeds:", "a placeholder is not fed");
  Values inputs;
  for (const Output& input : node->inputs) inputs.push_back(values_of(input.node).at(input.index));
  Values results = run(*node, inputs);
  for (at::Tensor& one : results) one = widened(one);
  return known_[node.get()] = std::move(results);
}

}  // namespace mps_graph
