// Matrices of MetalPerformanceShaders: LU decomposition, triangular systems and products, by torch's CPU kernels.
#include <utility>

#include "graph.h"
#include "runtime/assertions.h"
#include "simulated_metal/simulated_metal.h"

using namespace mps_graph;

namespace {

at::Tensor matrix_of(const MPSMatrix* matrix) {
  const MPSMatrixDescriptor* of = matrix->descriptor_;
  const c10::ScalarType type = type_of(of->type_);
  const auto width = static_cast<int64_t>(c10::elementSize(type));
  const auto rows = static_cast<int64_t>(of->rows_), columns = static_cast<int64_t>(of->columns_);
  const int64_t stride = static_cast<int64_t>(of->rowBytes_) / width;
  const size_t end = matrix->offset_ + (of->rows_ - 1) * of->rowBytes_ + of->columns_ * static_cast<size_t>(width);
  if (end > simulated::length((void*)matrix->buffer_)) refuse("MPSMatrix", "a matrix ends behind its buffer");
  char* memory = static_cast<char*>(simulated::memory((void*)matrix->buffer_)) + matrix->offset_;
  return at::from_blob(memory, {rows, columns}, {stride, 1}, at::TensorOptions(type));
}

void encode(id<MTLCommandBuffer> buffer, std::function<void()> body, const std::vector<void*>& buffers) {
  id<MTLComputeCommandEncoder> encoder = [buffer computeCommandEncoder];
  simulated::dispatch_host((void*)encoder, [body = std::move(body)] {
    const PlainDispatch plain;
    body();
  }, buffers);
  [encoder endEncoding];
}

}  // namespace

@implementation MPSMatrixDescriptor (Interpreted)

+ (instancetype)matrixDescriptorWithRows:(NSUInteger)rows
                                 columns:(NSUInteger)columns
                                matrices:(NSUInteger)matrices
                                rowBytes:(NSUInteger)rowBytes
                             matrixBytes:(NSUInteger)matrixBytes
                                dataType:(MPSDataType)type {
  MPSMatrixDescriptor* made = [[MPSMatrixDescriptor new] autorelease];
  made->rows_ = rows;
  made->columns_ = columns;
  made->matrices_ = matrices;
  made->rowBytes_ = rowBytes;
  made->matrixBytes_ = matrixBytes;
  made->type_ = type;
  return made;
}

@end

@implementation MPSMatrix (Interpreted)

- (instancetype)initWithBuffer:(id<MTLBuffer>)buffer offset:(NSUInteger)offset descriptor:(MPSMatrixDescriptor*)descriptor {
  buffer_ = [(id)buffer retain];
  offset_ = offset;
  descriptor_ = [descriptor retain];
  return self;
}

- (void)dealloc {
  [(id)buffer_ release];
  [descriptor_ release];
  [super dealloc];
}

@end

@implementation MPSMatrixDecompositionLU (Interpreted)

- (instancetype)initWithDevice:(id<MTLDevice>)device rows:(NSUInteger)rows columns:(NSUInteger)columns {
  return [self initWithDevice:device];
}

// Rows that were exchanged are counted from zero. Status: 0, or -1 for a singular matrix.
- (void)encodeToCommandBuffer:(id<MTLCommandBuffer>)buffer
                 sourceMatrix:(MPSMatrix*)source
                 resultMatrix:(MPSMatrix*)result
                 pivotIndices:(MPSMatrix*)pivots
                       status:(id<MTLBuffer>)status {
  const at::Tensor from = matrix_of(source), to = matrix_of(result), exchanged = matrix_of(pivots);
  auto* said = static_cast<int32_t*>(simulated::memory((void*)status));
  encode(buffer, [=] {
    const auto [factors, rows, problem] = at::linalg_lu_factor_ex(from);
    to.copy_(factors);
    exchanged.copy_((rows - 1).reshape(exchanged.sizes()));
    *said = problem.item().toLong() > 0 ? -1 : 0;
  }, {(void*)source->buffer_, (void*)result->buffer_, (void*)pivots->buffer_, (void*)status});
}

@end

@implementation MPSMatrixSolveTriangular (Interpreted)

- (instancetype)initWithDevice:(id<MTLDevice>)device
                         right:(BOOL)right
                         upper:(BOOL)upper
                     transpose:(BOOL)transpose
                          unit:(BOOL)unit
                         order:(NSUInteger)order
        numberOfRightHandSides:(NSUInteger)count
                         alpha:(double)alpha {
  right_ = right;
  upper_ = upper;
  transpose_ = transpose;
  unit_ = unit;
  alpha_ = alpha;
  return [self initWithDevice:device];
}

- (void)encodeToCommandBuffer:(id<MTLCommandBuffer>)buffer
                 sourceMatrix:(MPSMatrix*)source
          rightHandSideMatrix:(MPSMatrix*)rightHandSide
               solutionMatrix:(MPSMatrix*)solution {
  const at::Tensor from = matrix_of(source), given = matrix_of(rightHandSide), to = matrix_of(solution);
  const bool is_left = !right_, is_upper = upper_ == YES, is_transposed = transpose_ == YES, is_unit = unit_ == YES;
  const double alpha = alpha_;
  encode(buffer, [=] {
    const at::Tensor matrix = is_transposed ? from.t() : from;
    to.copy_(at::linalg_solve_triangular(matrix, given * alpha, is_upper != is_transposed, is_left, is_unit));
  }, {(void*)source->buffer_, (void*)rightHandSide->buffer_, (void*)solution->buffer_});
}

@end

@implementation MPSNDArrayMatrixMultiplication (Interpreted)

- (void)encodeToCommandEncoder:(id<MTLComputeCommandEncoder>)encoder
                 commandBuffer:(id<MTLCommandBuffer>)buffer
                  sourceArrays:(NSArray<MPSNDArray*>*)sources
              destinationArray:(MPSNDArray*)destination {
  const simulated::Array &one = simulated::array_of([sources objectAtIndex:0]), &other = simulated::array_of([sources objectAtIndex:1]);
  const simulated::Array& product = simulated::array_of(destination);
  simulated::dispatch_host((void*)encoder, [a = alias(one), b = alias(other), to = alias(product)] {
    const PlainDispatch plain;
    to.copy_(at::matmul(a, b));
  }, {(void*)one.buffer, (void*)other.buffer, (void*)product.buffer});
}

@end
