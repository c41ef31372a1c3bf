// MPSGraph as an interpreter: in place of the bodies that simulated_metal/graph.mm has for copies alone. What a graph computes is
// torch's CPU kernels' work; which graphs there are, what is fed to them and where results go is the tree's operators'.
#include "graph.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "runtime/assertions.h"
#include "simulated_metal/simulated_metal.h"

using namespace mps_graph;

@implementation InterpretedTensor
- (void)dealloc {
  delete output_;
  [super dealloc];
}
@end

@interface MPSGraph (Interpreter)
- (void)keepTensor:(MPSGraphTensor*)tensor;
@end

namespace {

constexpr std::pair<MPSDataType, c10::ScalarType> kTypes[] = {
    {MPSDataTypeFloat32, c10::ScalarType::Float},
    {MPSDataTypeFloat16, c10::ScalarType::Half},
    {MPSDataTypeBFloat16, c10::ScalarType::BFloat16},
    {MPSDataTypeInt64, c10::ScalarType::Long},
    {MPSDataTypeInt32, c10::ScalarType::Int},
    {MPSDataTypeInt16, c10::ScalarType::Short},
    {MPSDataTypeInt8, c10::ScalarType::Char},
    {MPSDataTypeUInt8, c10::ScalarType::Byte},
    {MPSDataTypeUInt16, c10::ScalarType::UInt16},
    {MPSDataTypeUInt32, c10::ScalarType::UInt32},
    {MPSDataTypeUInt64, c10::ScalarType::UInt64},
    {MPSDataTypeBool, c10::ScalarType::Bool},
    {MPSDataTypeComplexFloat32, c10::ScalarType::ComplexFloat},
    {MPSDataTypeComplexFloat16, c10::ScalarType::ComplexHalf},
};

MPSDataType mps_type(c10::ScalarType type) {
  for (const auto& [mps, torch] : kTypes) {
    if (torch == type) return mps;
  }
  refuse("MPSGraph", std::string("no data type for ") + c10::toString(type));
}

MPSGraphTensor* tensor_of(MPSGraph* graph, Output output) {
  InterpretedTensor* made = [[InterpretedTensor alloc] autorelease];
  made->type_ = mps_type(output.type());
  if (output.meta().defined()) {
    NSMutableArray<NSNumber*>* shape = [NSMutableArray array];
    for (int64_t size : output.meta().sizes()) [shape addObject:[NSNumber numberWithLong:size]];
    made->shape_ = [shape copy];
  }
  made->output_ = new Output(std::move(output));
  [graph keepTensor:made];
  return made;
}

std::vector<Output> outputs_of(const Tensors& tensors) {
  std::vector<Output> outputs;
  for (MPSGraphTensor* one : tensors) outputs.push_back(output_of(one));
  return outputs;
}

// What a command buffer does for one graph; it may run when the graph is gone.
struct Run {
  struct Bound {
    Output output;
    at::Tensor memory;
  };
  std::vector<Bound> feeds, results;

  void operator()() const {
    const PlainDispatch plain;
    Evaluation evaluation;
    for (const Bound& fed : feeds) evaluation.feed(fed.output.node, as_declared(fed));
    Values values;  // All of them before any is stored: a result may go where an operand lies.
    for (const Bound& one : results) {
      at::Tensor value = evaluation.value_of(one.output);
      values.push_back(is_view_of_fed(value) ? value.clone() : std::move(value));
    }
    for (size_t index = 0; index < results.size(); ++index) store(results[index], values[index]);
  }

 private:
  bool is_view_of_fed(const at::Tensor& value) const {
    for (const Bound& fed : feeds) {
      if (value.is_alias_of(fed.memory)) return true;
    }
    return false;
  }

  static at::Tensor as_declared(const Bound& fed) {
    at::Tensor value = fed.memory;
    const c10::ScalarType type = fed.output.type();
    if (value.scalar_type() != type) {
      if (c10::elementSize(type) != c10::elementSize(value.scalar_type())) {
        refuse("encodeToCommandBuffer:feeds:", std::string("a placeholder of ") + c10::toString(type) + " is fed " +
                                                   c10::toString(value.scalar_type()));
      }
      value = value.view(type);
    }
    const at::Tensor& declared = fed.output.meta();
    if (!declared.defined() || value.sizes() == declared.sizes()) return value;
    if (value.numel() != declared.numel()) {
      refuse("encodeToCommandBuffer:feeds:", "Placeholder shape mismatches");
    }
    return value.reshape(declared.sizes());
  }

  static void store(const Bound& one, const at::Tensor& result) {
    // A result of one value fills the array: PyTorch's fill_ relies on it.
    if (result.numel() != one.memory.numel() && result.numel() != 1) {
      refuse("encodeToCommandBuffer:resultsDictionary:", "a result of " + std::to_string(result.numel()) + " values for an array of " +
                                                              std::to_string(one.memory.numel()));
    }
    const bool is_whole = c10::isIntegralType(result.scalar_type(), false) && c10::isIntegralType(one.memory.scalar_type(), false);
    const bool is_real = c10::isFloatingType(result.scalar_type()) && c10::isFloatingType(one.memory.scalar_type());
    const bool is_same_width = c10::elementSize(result.scalar_type()) == c10::elementSize(one.memory.scalar_type());
    if (!is_same_width && !is_whole && !is_real) {
      refuse("encodeToCommandBuffer:resultsDictionary:", std::string("a result of ") + c10::toString(result.scalar_type()) +
                                                              " for an array of " + c10::toString(one.memory.scalar_type()));
    }
    const bool fills = result.numel() != one.memory.numel();
    const at::Tensor shaped = fills ? result.reshape({}).expand(one.memory.sizes()) : result.reshape(one.memory.sizes());
    // Numbers of another width are converted: PyTorch's nonzero, topk and median rely on it. Other types are taken as they lie.
    const bool is_other_type = result.scalar_type() != one.memory.scalar_type();
    const bool is_taken_as_it_lies = is_other_type && is_same_width;
    one.memory.copy_(is_taken_as_it_lies ? shaped.contiguous().view(one.memory.scalar_type()) : shaped);
  }
};

}  // namespace

namespace mps_graph {

const Output& output_of(MPSGraphTensor* tensor) {
  if (tensor == nil) refuse("MPSGraph", "an operand is nil");
  return *static_cast<InterpretedTensor*>(tensor)->output_;
}

c10::ScalarType type_of(MPSDataType type) {
  for (const auto& [mps, torch] : kTypes) {
    if (mps == type) return torch;
  }
  refuse("MPSGraph", "no such data type: " + std::to_string(static_cast<uint32_t>(type)));
}

std::vector<int64_t> axes_of(NSArray<NSNumber*>* axes) { return simulated::numbers_of(axes); }

MPSGraphTensor* add(MPSGraph* graph, const char* name, const Tensors& inputs, One compute, Type type, bool shapes_at_run) {
  Compute several = [compute = std::move(compute)](const Values& values) { return Values{compute(values)}; };
  return tensor_of(graph, {add(name, outputs_of(inputs), std::move(several), {type}, shapes_at_run), 0});
}

NSArray<MPSGraphTensor*>* add_several(MPSGraph* graph, const char* name, const Tensors& inputs, Compute compute,
                                      std::vector<Type> types, bool shapes_at_run) {
  const size_t count = types.size();
  auto node = add(name, outputs_of(inputs), std::move(compute), std::move(types), shapes_at_run);
  NSMutableArray<MPSGraphTensor*>* tensors = [NSMutableArray array];
  for (size_t index = 0; index < count; ++index) [tensors addObject:tensor_of(graph, {node, index})];
  return tensors;
}

void require_one_type(const char* name, MPSGraphTensor* one, MPSGraphTensor* other) {
  if (output_of(one).type() == output_of(other).type()) return;
  refuse(name, std::string("requires the same element type for all operands, not ") + c10::toString(output_of(one).type()) +
                   " and " + c10::toString(output_of(other).type()));
}

at::Tensor alias(const simulated::Array& array) {
  const at::TensorOptions options(type_of(array.type));
  return at::from_blob(array.memory(), array.sizes, array.strides, options);
}

int64_t wrapped(int64_t axis, int64_t dimensions) { return axis < 0 ? axis + dimensions : axis; }

}  // namespace mps_graph

@implementation MPSGraph (Interpreter)

- (void)keepTensor:(MPSGraphTensor*)tensor {
  if (tensors_ == nil) tensors_ = [[NSMutableArray array] retain];
  [tensors_ addObject:tensor];
}

- (MPSGraphTensor*)placeholderWithShape:(MPSShape*)shape dataType:(MPSDataType)type name:(NSString*)name {
  std::optional<std::vector<int64_t>> sizes;
  if (shape != nil) sizes = axes_of(shape);
  const bool is_open = sizes.has_value() && std::any_of(sizes->begin(), sizes->end(), [](int64_t size) { return size < 0; });
  if (is_open) sizes.reset();
  return tensor_of(self, {placeholder(sizes, type_of(type)), 0});
}

- (MPSGraphTensor*)constantWithScalar:(double)scalar shape:(MPSShape*)shape dataType:(MPSDataType)type {
  const at::TensorOptions options(type_of(type));
  const bool is_whole = c10::isIntegralType(type_of(type), /*includeBool=*/false);
  const at::Scalar value = is_whole ? at::Scalar(static_cast<int64_t>(scalar)) : at::Scalar(scalar);
  auto sizes = axes_of(shape);
  return add(self, "constant", {}, [=](const Values&) { return at::full(sizes, value, options); });
}

- (MPSGraphTensor*)constantWithScalar:(double)scalar dataType:(MPSDataType)type {
  return [self constantWithScalar:scalar shape:@[ @1 ] dataType:type];
}

- (MPSGraphTensor*)constantWithData:(NSData*)data shape:(MPSShape*)shape dataType:(MPSDataType)type {
  const PlainDispatch plain;
  const at::TensorOptions options(type_of(type));
  const at::Tensor value = at::from_blob(const_cast<void*>([data bytes]), axes_of(shape), options).clone();
  return add(self, "constant", {}, [value](const Values&) { return value; });
}

- (MPSGraphTensor*)identityWithTensor:(MPSGraphTensor*)from name:(NSString*)name {
  return add(self, "identity", {from}, [](const Values& v) { return v[0]; });
}

- (MPSGraphTensor*)castTensor:(MPSGraphTensor*)from toType:(MPSDataType)type name:(NSString*)name {
  const c10::ScalarType to = type_of(type);
  return add(self, "cast", {from}, [to](const Values& v) { return v[0].to(to); }, to);
}

- (void)encodeToCommandBuffer:(MPSCommandBuffer*)buffer
                        feeds:(NSDictionary*)feeds
             targetOperations:(NSArray<MPSGraphOperation*>*)operations
            resultsDictionary:(NSDictionary*)results
          executionDescriptor:(MPSGraphExecutionDescriptor*)descriptor {
  simulated::count_graph();
  auto run = std::make_shared<Run>();
  std::vector<void*> buffers;
  const PlainDispatch plain;
  for (NSDictionary* given : {feeds, results}) {
    auto& bound = given == feeds ? run->feeds : run->results;
    for (MPSGraphTensor* one in given) {
      const simulated::Array& array = simulated::array_of((MPSGraphTensorData*)[given objectForKey:one]);
      if (array.end_bytes() > simulated::length(array.buffer)) {
        refuse("encodeToCommandBuffer:feeds:", "an array ends behind its buffer");
      }
      bound.push_back({output_of(one), alias(array)});
      buffers.push_back((void*)array.buffer);
    }
  }
  id<MTLComputeCommandEncoder> encoder = [buffer computeCommandEncoder];
  simulated::dispatch_host((void*)encoder, [run] { (*run)(); }, buffers);
  [encoder endEncoding];
}

@end
