// One situation for each argument: what a graph says of itself while it is built, and what it computes when it runs.
#include <ATen/ATen.h>
#include <MetalPerformanceShadersGraph/MetalPerformanceShadersGraph.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "simulated_metal/simulated_metal.h"

namespace {

constexpr MPSDataType kFloat = MPSDataTypeFloat32;

id<MTLDevice> device() {
  static id<MTLDevice> const one = MTLCreateSystemDefaultDevice();
  return one;
}

void expect(bool holds, const char* what) {
  if (holds) return;
  std::printf("not so: %s\n", what);
  std::exit(1);
}

MPSShape* shape_of(const at::Tensor& tensor) {
  NSMutableArray<NSNumber*>* shape = [NSMutableArray array];
  for (int64_t size : tensor.sizes()) [shape addObject:[NSNumber numberWithLong:size]];
  return shape;
}

// A buffer of the device with the tensor's values, and a tensor over it.
struct Memory {
  explicit Memory(const at::Tensor& values) {
    buffer = [device() newBufferWithLength:values.nbytes() options:0];
    tensor = at::from_blob(simulated::memory((void*)buffer), values.sizes(), values.options());
    tensor.copy_(values);
    data = [[MPSGraphTensorData alloc] initWithMTLBuffer:buffer shape:shape_of(values) dataType:kFloat];
  }
  id<MTLBuffer> buffer;
  at::Tensor tensor;
  MPSGraphTensorData* data;
};

void run(MPSGraph* graph, NSDictionary* feeds, NSDictionary* results) {
  id<MTLCommandQueue> queue = [device() newCommandQueue];
  MPSCommandBuffer* buffer = [MPSCommandBuffer commandBufferFromCommandQueue:queue];
  [graph encodeToCommandBuffer:buffer feeds:feeds targetOperations:nil resultsDictionary:results executionDescriptor:nil];
  [buffer commit];
  [buffer waitUntilCompleted];
}

NSDictionary* pair(MPSGraphTensor* tensor, MPSGraphTensorData* data) {
  NSMutableDictionary* made = [NSMutableDictionary dictionary];
  [made setObject:data forKey:tensor];
  return made;
}

MPSGraphTensor* input(MPSGraph* graph, MPSShape* shape, MPSDataType type = kFloat) {
  return [graph placeholderWithShape:shape dataType:type name:nil];
}

void a_small_network() {
  MPSGraph* graph = [MPSGraph new];
  const at::Tensor x = at::randn({2, 3}), w = at::randn({4, 3}), b = at::randn({4});
  Memory fed(x), weight(w), bias(b), out(at::zeros({2, 1}));
  MPSGraphTensor *tx = input(graph, @[ @2, @3 ]), *tw = input(graph, @[ @4, @3 ]), *tb = input(graph, @[ @4 ]);
  MPSGraphTensor* product = [graph matrixMultiplicationWithPrimaryTensor:tx
                                                         secondaryTensor:[graph transposeTensor:tw dimension:0 withDimension:1 name:nil]
                                                                    name:nil];
  MPSGraphTensor* hidden = [graph reLUWithTensor:[graph additionWithPrimaryTensor:product secondaryTensor:tb name:nil] name:nil];
  expect([hidden.shape isEqual:@[ @2, @4 ]], "the meta device knows the shape while the graph is built");
  MPSGraphTensor* sum = [graph reductionSumWithTensor:hidden axes:@[ @1 ] name:nil];
  expect([sum.shape isEqual:@[ @2, @1 ]], "a reduction keeps its dimensions");
  NSMutableDictionary* feeds = [NSMutableDictionary dictionary];
  [feeds setObject:fed.data forKey:tx];
  [feeds setObject:weight.data forKey:tw];
  [feeds setObject:bias.data forKey:tb];
  run(graph, feeds, pair(sum, out.data));
  expect(at::allclose(out.tensor, at::relu(at::linear(x, w, b)).sum(1, true)), "the values are the CPU's");
}

void a_strided_array() {
  MPSGraph* graph = [MPSGraph new];
  const at::Tensor x = at::arange(12, at::kFloat).reshape({3, 4});
  Memory whole(x), out(at::zeros({4, 3}));
  MPSNDArrayDescriptor* all = [MPSNDArrayDescriptor descriptorWithDataType:kFloat shape:@[ @12 ]];
  MPSNDArray* array = [[MPSNDArray alloc] initWithBuffer:whole.buffer offset:0 descriptor:all];
  MPSNDArray* rows = [array arrayViewWithShape:@[ @3, @4 ] strides:@[ @4, @1 ]];
  MPSNDArrayDescriptor* turned = [rows descriptor];
  [turned transposeDimension:0 withDimension:1];
  MPSNDArray* columns = [rows arrayViewWithCommandBuffer:nil descriptor:turned aliasing:MPSAliasingStrategyShallAlias];
  expect([columns numberOfDimensions] == 2 && [columns lengthOfDimension:0] == 3, "a view has the descriptor's dimensions");
  MPSGraphTensor* from = input(graph, @[ @4, @3 ]);
  MPSGraphTensor* copy = [graph identityWithTensor:from name:nil];
  run(graph, pair(from, [[MPSGraphTensorData alloc] initWithMPSNDArray:columns]), pair(copy, out.data));
  expect(at::equal(out.tensor, x.t()), "a strided array is read by its strides");
}

void a_result_where_an_operand_lies() {
  MPSGraph* graph = [MPSGraph new];
  const at::Tensor x = at::arange(9, at::kFloat).reshape({3, 3});
  Memory both(x);
  MPSGraphTensor* from = input(graph, @[ @3, @3 ]);
  run(graph, pair(from, both.data), pair([graph transposeTensor:from dimension:0 withDimension:1 name:nil], both.data));
  expect(at::equal(both.tensor, x.t()), "all values are read before one is written");
}

void a_shape_that_depends_on_values() {
  MPSGraph* graph = [MPSGraph new];
  MPSGraphTensor* places = [graph nonZeroIndicesOfTensor:input(graph, @[ @3 ]) name:nil];
  expect(places.shape == nil && places.dataType == MPSDataTypeInt32, "it is not known before the graph runs");
  expect([graph castTensor:places toType:kFloat name:nil].shape == nil, "nor what follows from it");
}

void an_unranked_placeholder() {
  MPSGraph* graph = [MPSGraph new];
  const at::Tensor x = at::randn({5});
  Memory fed(x), out(at::zeros({5}));
  MPSGraphTensor* from = input(graph, nil);
  run(graph, pair(from, fed.data), pair([graph negativeWithTensor:from name:nil], out.data));
  expect(at::equal(out.tensor, -x), "it takes the shape of what it is fed");
}

void a_layer_norm_and_its_gradient() {
  MPSGraph* graph = [MPSGraph new];
  at::Tensor x = at::randn({4, 6}).set_requires_grad(true);
  const at::Tensor g = at::randn({4, 6});
  const at::Tensor y = at::layer_norm(x, {6}, {}, {}, 1e-5);
  y.backward(g);
  Memory fed(x.detach()), gradient(g), out(at::zeros({4, 6})), back(at::zeros({4, 6}));
  MPSGraphTensor *tx = input(graph, @[ @4, @6 ]), *tg = input(graph, @[ @4, @6 ]);
  MPSGraphTensor* mean = [graph meanOfTensor:tx axes:@[ @1 ] name:nil];
  MPSGraphTensor* variance = [graph varianceOfTensor:tx axes:@[ @1 ] name:nil];
  MPSGraphTensor* normal = [graph normalizationWithTensor:tx meanTensor:mean varianceTensor:variance gammaTensor:nil betaTensor:nil epsilon:1e-5f name:nil];
  MPSGraphTensor* dx = [graph normalizationGradientWithIncomingGradientTensor:tg sourceTensor:tx meanTensor:mean varianceTensor:variance gammaTensor:nil gammaGradientTensor:nil betaGradientTensor:nil reductionAxes:@[ @1 ] epsilon:1e-5f name:nil];
  NSMutableDictionary *feeds = [NSMutableDictionary dictionary], *results = [NSMutableDictionary dictionary];
  [feeds setObject:fed.data forKey:tx];
  [feeds setObject:gradient.data forKey:tg];
  [results setObject:out.data forKey:normal];
  [results setObject:back.data forKey:dx];
  run(graph, feeds, results);
  expect(at::allclose(out.tensor, y.detach(), 1e-4, 1e-5), "normalised as torch does");
  expect(at::allclose(back.tensor, x.grad(), 1e-4, 1e-5), "its gradient is autograd's");
}

void a_maximum_without_nan() {
  MPSGraph* graph = [MPSGraph new];
  at::Tensor x = at::tensor({1.f, 3.f, 2.f});
  x[1] = NAN;
  Memory fed(x), out(at::zeros({1}));
  MPSGraphTensor* from = input(graph, @[ @3 ]);
  run(graph, pair(from, fed.data), pair([graph reductionMaximumWithTensor:from axes:@[ @0 ] name:nil], out.data));
  expect(out.tensor.item().toFloat() == 2.f, "the plain maximum leaves out what is no number");
}

// ---- what ends the process

void an_operation_without_a_body() {
  MPSGraph* graph = [MPSGraph new];
  [graph depthToSpace2DTensor:input(graph, @[ @1, @4, @2, @2 ]) widthAxis:3 heightAxis:2 depthAxis:1 blockSize:2 usePixelShuffleOrder:YES name:nil];
}

void operands_of_two_types() {
  MPSGraph* graph = [MPSGraph new];
  [graph additionWithPrimaryTensor:input(graph, @[ @1 ]) secondaryTensor:input(graph, @[ @1 ], MPSDataTypeInt32) name:nil];
}

void shapes_that_do_not_fit() {
  MPSGraph* graph = [MPSGraph new];
  [graph additionWithPrimaryTensor:input(graph, @[ @2 ]) secondaryTensor:input(graph, @[ @3 ]) name:nil];
}

void a_placeholder_that_is_not_fed() {
  MPSGraph* graph = [MPSGraph new];
  Memory out(at::zeros({2}));
  run(graph, [NSMutableDictionary dictionary], pair([graph negativeWithTensor:input(graph, @[ @2 ]) name:nil], out.data));
}

void a_result_of_another_size() {
  MPSGraph* graph = [MPSGraph new];
  Memory fed(at::zeros({2})), out(at::zeros({3}));
  MPSGraphTensor* from = input(graph, @[ @2 ]);
  run(graph, pair(from, fed.data), pair([graph negativeWithTensor:from name:nil], out.data));
}

void a_feed_of_another_size() {
  MPSGraph* graph = [MPSGraph new];
  Memory fed(at::zeros({3})), out(at::zeros({2}));
  MPSGraphTensor* from = input(graph, @[ @2 ]);
  run(graph, pair(from, fed.data), pair([graph negativeWithTensor:from name:nil], out.data));
}

#define SITUATION(name) {#name, name}
const std::map<std::string, void (*)()> kSituations = {
    SITUATION(a_small_network),
    SITUATION(a_strided_array),
    SITUATION(a_result_where_an_operand_lies),
    SITUATION(a_shape_that_depends_on_values),
    SITUATION(an_unranked_placeholder),
    SITUATION(a_layer_norm_and_its_gradient),
    SITUATION(a_maximum_without_nan),
    SITUATION(an_operation_without_a_body),
    SITUATION(operands_of_two_types),
    SITUATION(shapes_that_do_not_fit),
    SITUATION(a_placeholder_that_is_not_fed),
    SITUATION(a_result_of_another_size),
    SITUATION(a_feed_of_another_size),
};

}  // namespace

int main(int, char** arguments) {
  @autoreleasepool {
    kSituations.at(arguments[1])();
  }
  std::puts("ok");
  return 0;
}
