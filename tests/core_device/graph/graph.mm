// One situation for each argument: what a graph says of itself while it is built, and what it computes when it runs.
#include <ATen/ATen.h>
#include <MetalPerformanceShadersGraph/MetalPerformanceShadersGraph.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>

#include "simulated_metal/simulated_metal.h"

@interface MPSGraph (NotSimulated)
- (MPSGraphTensor*)dequantizeTensor:(MPSGraphTensor*)tensor name:(NSString*)label;
@end

@interface NSNumber (InTwoSteps)
- (instancetype)initWithInteger:(NSInteger)value;
@end

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

void whole_numbers_of_another_width() {
  MPSGraph* graph = [MPSGraph new];
  Memory fed(at::tensor({0.f, 4.f, 5.f}));
  id<MTLBuffer> places = [device() newBufferWithLength:2 * sizeof(int64_t) options:0];
  MPSGraphTensor* from = input(graph, @[ @3 ]);
  MPSGraphTensorData* wide = [[MPSGraphTensorData alloc] initWithMTLBuffer:places shape:@[ @2, @1 ] dataType:MPSDataTypeInt64];
  run(graph, pair(from, fed.data), pair([graph nonZeroIndicesOfTensor:from name:nil], wide));
  const auto* values = static_cast<int64_t*>(simulated::memory((void*)places));
  expect(values[0] == 1 && values[1] == 2, "they are converted to the array's type");
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

// What a graph gives for these inputs, as many as its operation takes.
using Build = std::function<MPSGraphTensor*(MPSGraph*, const std::vector<MPSGraphTensor*>&)>;
at::Tensor computed(const std::vector<at::Tensor>& inputs, c10::IntArrayRef sizes, const Build& build) {
  MPSGraph* graph = [MPSGraph new];
  std::vector<MPSGraphTensor*> tensors;
  NSMutableDictionary* feeds = [NSMutableDictionary dictionary];
  for (const at::Tensor& one : inputs) {
    tensors.push_back(input(graph, shape_of(one)));
    [feeds setObject:Memory(one).data forKey:tensors.back()];
  }
  Memory out(at::zeros(sizes));
  run(graph, feeds, pair(build(graph, tensors), out.data));
  return out.tensor;
}

MPSGraphPooling2DOpDescriptor* pooling(MPSGraphTensorNamedDataLayout layout) {
  return [MPSGraphPooling2DOpDescriptor descriptorWithKernelWidth:2
                                                     kernelHeight:3
                                                        strideInX:1
                                                        strideInY:2
                                                  dilationRateInX:1
                                                  dilationRateInY:1
                                                      paddingLeft:1
                                                     paddingRight:1
                                                       paddingTop:1
                                                    paddingBottom:1
                                                     paddingStyle:MPSGraphPaddingStyleExplicit
                                                       dataLayout:layout];
}

void pooling_and_its_gradients() {
  at::Tensor x = at::randn({2, 3, 6, 5}).set_requires_grad(true);
  const auto [largest, where] = at::max_pool2d_with_indices(x, {3, 2}, {2, 1}, {1, 1});
  const at::Tensor g = at::randn(largest.sizes());
  const auto desc = pooling(MPSGraphTensorNamedDataLayoutNCHW);
  expect(at::equal(computed({x.detach()}, largest.sizes(), [=](MPSGraph* graph, const auto& t) {
    return [graph maxPooling2DWithSourceTensor:t[0] descriptor:desc name:nil];
  }), largest.detach()), "the largest of each window");
  const auto last = pooling(MPSGraphTensorNamedDataLayoutNHWC);
  expect(at::equal(computed({x.detach().permute({0, 2, 3, 1}).contiguous()}, largest.permute({0, 2, 3, 1}).sizes(), [=](MPSGraph* graph, const auto& t) {
    return [graph maxPooling2DWithSourceTensor:t[0] descriptor:last name:nil];
  }), largest.detach().permute({0, 2, 3, 1})), "and where channels come last");
  largest.backward(g);
  expect(at::allclose(computed({g, x.detach()}, x.sizes(), [=](MPSGraph* graph, const auto& t) {
    return [graph maxPooling2DGradientWithGradientTensor:t[0] sourceTensor:t[1] descriptor:desc name:nil];
  }), x.grad()), "its gradient is autograd's");
  desc.returnIndicesMode = MPSGraphPoolingReturnIndicesGlobalFlatten2D;
  desc.returnIndicesDataType = MPSDataTypeInt32;
  expect(at::equal(computed({x.detach()}, where.sizes(), [=](MPSGraph* graph, const auto& t) {
    NSArray<MPSGraphTensor*>* both = [graph maxPooling2DReturnIndicesWithSourceTensor:t[0] descriptor:desc name:nil];
    return [graph castTensor:[both objectAtIndex:1] toType:kFloat name:nil];
  }), where.to(at::kFloat)), "places are counted in the plane without its padding");
  const at::Tensor zeros = at::zeros(x.sizes());
  expect(at::equal(computed({zeros}, where.sizes(), [=](MPSGraph* graph, const auto& t) {
    MPSGraphTensor* bytes = [graph castTensor:t[0] toType:MPSDataTypeUInt8 name:nil];
    NSArray<MPSGraphTensor*>* both = [graph maxPooling2DReturnIndicesWithSourceTensor:bytes descriptor:desc name:nil];
    return [graph castTensor:[both objectAtIndex:1] toType:kFloat name:nil];
  }), std::get<1>(at::max_pool2d_with_indices(zeros, {3, 2}, {2, 1}, {1, 1})).to(at::kFloat)), "a zero is larger than the padding, also of bytes");
  for (const bool counts : {false, true}) {
    x.mutable_grad() = at::Tensor();
    const at::Tensor mean = at::avg_pool2d(x, {3, 2}, {2, 1}, {1, 1}, false, counts);
    mean.backward(g);
    desc.includeZeroPadToAverage = counts;
    expect(at::allclose(computed({x.detach()}, mean.sizes(), [=](MPSGraph* graph, const auto& t) {
      return [graph avgPooling2DWithSourceTensor:t[0] descriptor:desc name:nil];
    }), mean.detach(), 1e-4, 1e-5), "the mean of each window");
    expect(at::allclose(computed({g, x.detach()}, x.sizes(), [=](MPSGraph* graph, const auto& t) {
      return [graph avgPooling2DGradientWithGradientTensor:t[0] sourceTensor:t[1] descriptor:desc name:nil];
    }), x.grad(), 1e-4, 1e-5), "and its gradient");
  }
}

void a_convolution_and_its_gradients() {
  at::Tensor x = at::randn({2, 4, 7, 6}).set_requires_grad(true), w = at::randn({6, 2, 3, 3}).set_requires_grad(true);
  const at::Tensor y = at::conv2d(x, w, {}, {2, 1}, {1, 0}, {1, 2}, 2);
  const at::Tensor g = at::randn(y.sizes());
  y.backward(g);
  MPSGraphConvolution2DOpDescriptor* desc = [MPSGraphConvolution2DOpDescriptor new];
  desc.strideInX = 1;
  desc.strideInY = 2;
  desc.dilationRateInX = 2;
  desc.dilationRateInY = 1;
  desc.paddingTop = desc.paddingBottom = 1;
  desc.groups = 2;
  desc.weightsLayout = MPSGraphTensorNamedDataLayoutOIHW;
  expect(at::allclose(computed({x.detach(), w.detach()}, y.sizes(), [=](MPSGraph* graph, const auto& t) {
    MPSGraphTensor* made = [graph convolution2DWithSourceTensor:t[0] weightsTensor:t[1] descriptor:desc name:nil];
    expect([made.shape isEqual:shape_of(y)], "its shape is known while the graph is built");
    return made;
  }), y.detach(), 1e-4, 1e-5), "torch's convolution");
  expect(at::allclose(computed({g, w.detach()}, x.sizes(), [=](MPSGraph* graph, const auto& t) {
    return [graph convolution2DDataGradientWithIncomingGradientTensor:t[0] weightsTensor:t[1] outputShape:shape_of(x) forwardConvolutionDescriptor:desc name:nil];
  }), x.grad(), 1e-4, 1e-5), "its gradient by values");
  expect(at::allclose(computed({g, x.detach()}, w.sizes(), [=](MPSGraph* graph, const auto& t) {
    return [graph convolution2DWeightsGradientWithIncomingGradientTensor:t[0] sourceTensor:t[1] outputShape:shape_of(w) forwardConvolutionDescriptor:desc name:nil];
  }), w.grad(), 1e-4, 1e-4), "and by weights");
}

void a_gradient_of_a_source_that_windows_do_not_reach() {
  at::Tensor x = at::randn({2, 2, 4, 4}).set_requires_grad(true), w = at::randn({2, 2, 4, 5}).set_requires_grad(true);
  const at::Tensor y = at::conv_transpose2d(x, w, {}, {3, 2}, {1, 2}, {2, 3}, 1, {4, 4});
  const at::Tensor g = at::randn(y.sizes());
  y.backward(g);
  MPSGraphConvolution2DOpDescriptor* desc = [MPSGraphConvolution2DOpDescriptor new];
  desc.strideInX = 2;
  desc.strideInY = 3;
  desc.dilationRateInX = desc.dilationRateInY = 4;
  desc.paddingTop = desc.paddingBottom = 1;
  desc.paddingLeft = desc.paddingRight = 2;
  desc.groups = 1;
  desc.weightsLayout = MPSGraphTensorNamedDataLayoutOIHW;
  expect(at::allclose(computed({x.detach(), w.detach()}, y.sizes(), [=](MPSGraph* graph, const auto& t) {
    return [graph convolution2DDataGradientWithIncomingGradientTensor:t[0] weightsTensor:t[1] outputShape:shape_of(y) forwardConvolutionDescriptor:desc name:nil];
  }), y.detach(), 1e-4, 1e-4), "a transposed convolution with an output padding");
  expect(at::allclose(computed({x.detach(), g}, w.sizes(), [=](MPSGraph* graph, const auto& t) {
    return [graph convolution2DWeightsGradientWithIncomingGradientTensor:t[0] sourceTensor:t[1] outputShape:shape_of(w) forwardConvolutionDescriptor:desc name:nil];
  }), w.grad(), 1e-4, 1e-4), "and its gradient by weights");
}

void an_image_resized_and_back() {
  at::Tensor x = at::randn({1, 2, 4, 5}).set_requires_grad(true);
  const at::Tensor y = at::upsample_bilinear2d(x, {7, 8}, false);
  const at::Tensor g = at::randn(y.sizes());
  y.backward(g);
  const auto layout = MPSGraphTensorNamedDataLayoutNCHW;
  expect(at::allclose(computed({x.detach(), at::tensor({7.f, 8.f})}, y.sizes(), [=](MPSGraph* graph, const auto& t) {
    return [graph resizeBilinearWithTensor:t[0] sizeTensor:t[1] centerResult:YES alignCorners:NO layout:layout name:nil];
  }), y.detach(), 1e-4, 1e-5), "bilinear, as torch does");
  expect(at::allclose(computed({g, x.detach()}, x.sizes(), [=](MPSGraph* graph, const auto& t) {
    return [graph resizeBilinearWithGradientTensor:t[0] input:t[1] centerResult:YES alignCorners:NO layout:layout name:nil];
  }), x.grad(), 1e-4, 1e-5), "its gradient is autograd's");
  expect(at::equal(computed({x.detach(), at::tensor({7.f, 8.f})}, y.sizes(), [=](MPSGraph* graph, const auto& t) {
    return [graph resizeNearestWithTensor:t[0] sizeTensor:t[1] nearestRoundingMode:MPSGraphResizeNearestRoundingModeFloor centerResult:NO alignCorners:NO layout:layout name:nil];
  }), at::upsample_nearest2d(x.detach(), {7, 8})), "the nearest, as torch does");
}

void random_numbers() {
  const auto drawn = [](float first, bool is_normal) {
    return computed({at::tensor({0.f, first, 2.f, 3.f, 4.f, 5.f, 6.f})}, {20000}, [=](MPSGraph* graph, const auto& t) {
      MPSGraphRandomOpDescriptor* desc = [MPSGraphRandomOpDescriptor
          descriptorWithDistribution:is_normal ? MPSGraphRandomDistributionNormal : MPSGraphRandomDistributionUniform dataType:kFloat];
      desc.min = 2;
      desc.max = 3;
      MPSGraphTensor* state = [graph castTensor:t[0] toType:MPSDataTypeInt32 name:nil];
      return (MPSGraphTensor*)[[graph randomTensorWithShape:@[ @20000 ] descriptor:desc stateTensor:state name:nil] objectAtIndex:0];
    });
  };
  const at::Tensor one = drawn(1, false);
  expect(at::equal(one, drawn(1, false)), "one state gives the same numbers again");
  expect(!at::equal(one, drawn(2, false)), "another state gives others");
  expect(one.min().item().toFloat() >= 2 && one.max().item().toFloat() < 3, "they lie in their range");
  expect(std::abs(one.mean().item().toFloat() - 2.5f) < 0.02f, "and are spread over it");
  const at::Tensor normal = drawn(1, true);
  expect(std::abs(normal.mean().item().toFloat()) < 0.03f && std::abs(normal.std().item().toFloat() - 1) < 0.03f, "a normal distribution");
}

void a_fourier_transform() {
  const at::Tensor x = at::randn({3, 8});
  MPSGraphFFTDescriptor* back = [MPSGraphFFTDescriptor descriptor];
  back.inverse = YES;
  back.scalingMode = MPSGraphFFTScalingModeSize;
  const at::Tensor again = computed({x}, {3, 8}, [=](MPSGraph* graph, const auto& t) {
    MPSGraphTensor* half = [graph realToHermiteanFFTWithTensor:t[0] axes:@[ @1 ] descriptor:[MPSGraphFFTDescriptor descriptor] name:nil];
    expect([half.shape isEqual:@[ @3, @5 ]], "without what follows from the other half");
    return [graph HermiteanToRealFFTWithTensor:half axes:@[ @1 ] descriptor:back name:nil];
  });
  expect(at::allclose(again, x, 1e-4, 1e-5), "there and back");
  const at::Tensor real = computed({x}, {3, 8}, [](MPSGraph* graph, const auto& t) {
    MPSGraphTensor* whole = [graph castTensor:t[0] toType:MPSDataTypeComplexFloat32 name:nil];
    return [graph realPartOfTensor:[graph fastFourierTransformWithTensor:whole axes:@[ @0, @1 ] descriptor:[MPSGraphFFTDescriptor descriptor] name:nil] name:nil];
  });
  expect(at::allclose(real, at::real(at::fft_fftn(x)), 1e-4, 1e-4), "over both dimensions");
}

void matrices() {
  const at::Tensor a = at::randn({4, 4}) + 4 * at::eye(4), b = at::randn({4, 2});
  MPSMatrixDescriptor* square = [MPSMatrixDescriptor matrixDescriptorWithRows:4 columns:4 matrices:1 rowBytes:16 matrixBytes:64 dataType:kFloat];
  MPSMatrixDescriptor* side = [MPSMatrixDescriptor matrixDescriptorWithRows:4 columns:2 matrices:1 rowBytes:8 matrixBytes:32 dataType:kFloat];
  MPSMatrixDescriptor* rows = [MPSMatrixDescriptor matrixDescriptorWithRows:1 columns:4 matrices:1 rowBytes:16 matrixBytes:16 dataType:MPSDataTypeUInt32];
  const auto over = [](const Memory& memory, MPSMatrixDescriptor* of) { return [[MPSMatrix alloc] initWithBuffer:memory.buffer offset:0 descriptor:of]; };
  Memory matrix(a), right(b), solved(at::zeros({4, 2})), factors(at::zeros({4, 4})), exchanged(at::zeros({4})), status(at::ones({1}));
  id<MTLCommandBuffer> buffer = [[device() newCommandQueue] commandBuffer];
  MPSMatrixSolveTriangular* solve = [[MPSMatrixSolveTriangular alloc] initWithDevice:device() right:NO upper:YES transpose:NO unit:NO order:4 numberOfRightHandSides:2 alpha:1];
  [solve encodeToCommandBuffer:buffer sourceMatrix:over(matrix, square) rightHandSideMatrix:over(right, side) solutionMatrix:over(solved, side)];
  MPSMatrixDecompositionLU* decompose = [[MPSMatrixDecompositionLU alloc] initWithDevice:device() rows:4 columns:4];
  [decompose encodeToCommandBuffer:buffer sourceMatrix:over(matrix, square) resultMatrix:over(factors, square) pivotIndices:over(exchanged, rows) status:status.buffer];
  [buffer commit];
  [buffer waitUntilCompleted];
  expect(at::allclose(at::matmul(a.triu(), solved.tensor), b, 1e-3, 1e-4), "an upper triangular system");
  const at::Tensor pivots = exchanged.tensor.view(at::kInt) + 1;
  const auto [p, l, u] = at::lu_unpack(factors.tensor, pivots);
  expect(at::allclose(at::matmul(at::matmul(p, l), u), a, 1e-3, 1e-4), "two factors and the rows that were exchanged");
  expect(status.tensor.view(at::kInt).item().toInt() == 0, "and that it went well");
}

void a_sum_of_booleans() {
  const at::Tensor x = at::tensor({1.f, 0.f, 3.f, 2.f});
  const at::Tensor count = computed({x}, {1}, [](MPSGraph* graph, const auto& t) {
    MPSGraphTensor* sum = [graph reductionSumWithTensor:[graph castTensor:t[0] toType:MPSDataTypeBool name:nil] axes:@[ @0 ] name:nil];
    return [graph castTensor:sum toType:kFloat name:nil];
  });
  expect(count.item().toFloat() == 3.f, "it counts those that are true");
}

void a_sum_over_no_axes() {
  const at::Tensor x = at::arange(6, at::kFloat).reshape({2, 3});
  expect(at::equal(computed({x}, {2, 3}, [](MPSGraph* graph, const auto& t) {
    return [graph reductionSumWithTensor:t[0] axes:@[] name:nil];
  }), x), "no axes are not all of them");
  expect(at::equal(computed({x}, {2, 3}, [](MPSGraph* graph, const auto& t) {
    return [graph varianceOfTensor:t[0] axes:@[] name:nil];
  }), at::zeros({2, 3})), "the variance of each value by itself");
}

void an_index_behind_the_end() {
  const at::Tensor x = at::arange(6, at::kFloat).reshape({3, 2}), places = at::tensor({2.f, -100.f, 3.f});
  const at::Tensor rows = computed({x, places}, {3, 2}, [](MPSGraph* graph, const auto& t) {
    MPSGraphTensor* whole = [graph castTensor:t[1] toType:MPSDataTypeInt32 name:nil];
    return [graph gatherWithUpdatesTensor:t[0] indicesTensor:whole axis:0 batchDimensions:0 name:nil];
  });
  expect(at::equal(rows, at::tensor({4.f, 5.f, 0.f, 0.f, 0.f, 0.f}).reshape({3, 2})), "it takes zeros");
}

void an_update_behind_the_end() {
  const at::Tensor x = at::arange(6, at::kFloat).reshape({3, 2}), places = at::tensor({2.f, -1.f, 3.f});
  const at::Tensor rows = computed({x, places}, {3, 2}, [](MPSGraph* graph, const auto& t) {
    MPSGraphTensor* whole = [graph castTensor:t[1] toType:MPSDataTypeInt32 name:nil];
    return [graph scatterWithUpdatesTensor:t[0] indicesTensor:whole shape:@[ @3, @2 ] axis:0 mode:MPSGraphScatterModeSet name:nil];
  });
  expect(at::equal(rows, at::tensor({0.f, 0.f, 0.f, 0.f, 0.f, 1.f}).reshape({3, 2})), "it is left out");
}

void all_and_any_of_fractions() {
  const at::Tensor x = at::tensor({0.5f, 256.f, 0.f, 0.25f}).reshape({2, 2});
  expect(at::equal(computed({x}, {2, 1}, [](MPSGraph* graph, const auto& t) {
    return [graph reductionAndWithTensor:t[0] axis:1 name:nil];
  }), at::tensor({1.f, 0.f}).reshape({2, 1})), "all that are not zero");
  expect(at::equal(computed({x}, {2, 1}, [](MPSGraph* graph, const auto& t) {
    return [graph reductionOrWithTensor:t[0] axis:1 name:nil];
  }), at::ones({2, 1})), "any that is not zero");
}

void halves_between_operations() {
  const at::Tensor x = at::full({1}, 0.0001f);
  const auto exponent_less_one = [](bool casts) {
    return [casts](MPSGraph* graph, const std::vector<MPSGraphTensor*>& t) {
      MPSGraphTensor* half = [graph castTensor:t[0] toType:MPSDataTypeFloat16 name:nil];
      MPSGraphTensor* one = [graph constantWithScalar:1 dataType:MPSDataTypeFloat16];
      MPSGraphTensor* exponent = [graph exponentWithTensor:half name:nil];
      if (casts) exponent = [graph castTensor:exponent toType:MPSDataTypeFloat16 name:nil];
      MPSGraphTensor* less = [graph subtractionWithPrimaryTensor:exponent secondaryTensor:one name:nil];
      expect(less.dataType == MPSDataTypeFloat16, "the type is that of the operands");
      return [graph castTensor:less toType:kFloat name:nil];
    };
  };
  expect(at::allclose(computed({x}, {1}, exponent_less_one(false)), x, 1e-3, 0), "they are not rounded between operations");
  expect(computed({x}, {1}, exponent_less_one(true)).item().toFloat() == 0.f, "but where the graph casts");
}

void numbers_made_in_two_steps() {
  NSNumber* number = [[NSNumber alloc] initWithInteger:-3];
  expect([number isEqual:@-3], "as those made in one");
  [number release];
}

// ---- what ends the process

void an_operation_without_a_body() {
  MPSGraph* graph = [MPSGraph new];
  [graph dequantizeTensor:input(graph, @[ @2 ]) name:nil];
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
    SITUATION(whole_numbers_of_another_width),
    SITUATION(an_unranked_placeholder),
    SITUATION(a_layer_norm_and_its_gradient),
    SITUATION(a_maximum_without_nan),
    SITUATION(pooling_and_its_gradients),
    SITUATION(a_convolution_and_its_gradients),
    SITUATION(a_gradient_of_a_source_that_windows_do_not_reach),
    SITUATION(an_image_resized_and_back),
    SITUATION(random_numbers),
    SITUATION(a_fourier_transform),
    SITUATION(matrices),
    SITUATION(a_sum_of_booleans),
    SITUATION(a_sum_over_no_axes),
    SITUATION(an_index_behind_the_end),
    SITUATION(an_update_behind_the_end),
    SITUATION(all_and_any_of_fractions),
    SITUATION(halves_between_operations),
    SITUATION(numbers_made_in_two_steps),
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
