// What the glue knows of an operator from its schema, looked up once.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

#include <string>
#include <vector>

namespace mps_sim {

using Stack = torch::jit::Stack;

struct ArgumentPlan {
  bool is_written = false;
  bool is_out = false;            // out=: may be resized.
  bool is_runtime_value = false;  // A number that a graph takes as an input; all others are compiled into it.
  bool is_mode = false;           // Whether the operator trains.
};

enum class Returns : uint8_t { fresh, written_argument, view, value };

struct ReturnPlan {
  Returns kind;
  size_t argument;  // That it aliases, unless fresh.
};

struct Plan {
  explicit Plan(const c10::OperatorHandle& op);

  c10::OperatorHandle op;
  std::string name;  // With the overload's name.
  std::vector<ArgumentPlan> arguments;
  std::vector<ReturnPlan> returns;
  void (*substitute)(Stack*) = nullptr;  // Runs in place of the operator, on the CPU and on meta tensors.
  bool is_view = false;
  bool is_always_synchronous = false;
  bool falls_back_to_cpu = false;  // MPS has no kernel: it waits for the stream, and the CPU computes.
  bool is_random = false;
  bool takes_cpu_tensors = false;
  bool has_scalar_operand = false;  // x * 2 and the like.
  bool returns_statistics = false;  // A norm: its second and third value are what its backward needs.

  void run(Stack* stack) const {
    if (substitute != nullptr) {
      substitute(stack);
    } else {
      op.callBoxed(stack);
    }
  }
};

const Plan& plan_for(const c10::OperatorHandle& op);

}  // namespace mps_sim
