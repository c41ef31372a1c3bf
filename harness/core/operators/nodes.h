// A graph's operations as functions of tensors of torch's CPU: MPSGraph without Objective-C. When an operation is added, its
// function runs on the meta device, which gives shapes and types and refuses what does not fit; when a command buffer executes,
// it runs on the CPU.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace mps_graph {

using Values = std::vector<at::Tensor>;
using Compute = std::function<Values(const Values&)>;

struct Node;

// One result of an operation.
struct Output {
  std::shared_ptr<Node> node;
  size_t index = 0;

  // Without values, on the meta device; undefined where shapes are known only when the graph runs.
  const at::Tensor& meta() const;
  c10::ScalarType type() const;
};

struct Node {
  std::string name;
  std::vector<Output> inputs;
  Compute compute;  // None: a placeholder.
  Values metas;
  std::vector<c10::ScalarType> types;
};

// Adds an operation with as many results as `types` has; a type that is not given follows from the function. `shapes_at_run`:
// the results' shapes depend on values. Ends the process where the operation is wrong, as MPSGraph's compiler does.
std::shared_ptr<Node> add(const std::string& name, std::vector<Output> inputs, Compute compute,
                          std::vector<std::optional<c10::ScalarType>> types, bool shapes_at_run = false);

std::shared_ptr<Node> placeholder(std::optional<std::vector<int64_t>> shape, c10::ScalarType type);

// Runs what is needed for an output, each operation once. `known_` begins with the placeholders' values. Values of 16 bits are
// rounded when they leave the graph, or where it casts to them, and not by each operation: MPSGraph's compiler fuses operations,
// and PyTorch's own tests, which pass on a Mac, ask for it (expm1 of halves is an exponent less one).
class Evaluation {
 public:
  void feed(const std::shared_ptr<Node>& placeholder, at::Tensor value);
  at::Tensor value_of(const Output& output);

 private:
  const Values& values_of(const std::shared_ptr<Node>& node);

  std::unordered_map<const Node*, Values> known_;
};

[[noreturn]] void refuse(const std::string& name, const std::string& why);

// torch's dispatcher as if nothing were around the call: no autograd, no autocast, no modes of Python's or functorch's. A graph is
// built inside an operator, whatever the caller has switched on.
class PlainDispatch {
 public:
  PlainDispatch();
  ~PlainDispatch();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mps_graph
