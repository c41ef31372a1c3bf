// MPSGraph's arithmetic, element by element, and matrix products.
#include <utility>

#include "graph.h"

using namespace mps_graph;

namespace {

using Unary = at::Tensor (*)(const at::Tensor&);
using Binary = at::Tensor (*)(const at::Tensor&, const at::Tensor&);

MPSGraphTensor* unary(MPSGraph* graph, const char* name, MPSGraphTensor* tensor, Unary function) {
  return add(graph, name, {tensor}, [function](const Values& v) { return function(v[0]); });
}

// A result of the operands' type, whatever torch would promote it to.
MPSGraphTensor* binary(MPSGraph* graph, const char* name, MPSGraphTensor* one, MPSGraphTensor* other, Binary function) {
  require_one_type(name, one, other);
  return add(graph, name, {one, other}, [function](const Values& v) { return function(v[0], v[1]).to(v[0].scalar_type()); });
}

MPSGraphTensor* comparison(MPSGraph* graph, const char* name, MPSGraphTensor* one, MPSGraphTensor* other, Binary function) {
  require_one_type(name, one, other);
  return add(graph, name, {one, other}, [function](const Values& v) { return function(v[0], v[1]); });
}

at::Tensor difference(const at::Tensor& one, const at::Tensor& other) {
  // torch refuses to subtract booleans.
  return one.scalar_type() == c10::kBool ? at::logical_xor(one, other) : at::sub(one, other);
}

at::Tensor quotient(const at::Tensor& one, const at::Tensor& other) {
  return c10::isIntegralType(one.scalar_type(), true) ? at::div(one, other, "trunc") : at::div(one, other);
}

}  // namespace

#define UNARY(operation, x, expression)                                                                     \
  -(MPSGraphTensor*)operation##WithTensor : (MPSGraphTensor*)tensor name : (NSString*)label {               \
    return unary(self, #operation, tensor, [](const at::Tensor& x) -> at::Tensor { return expression; });    \
  }
#define OF_TWO(kind, operation, expression)                                                                             \
  -(MPSGraphTensor*)operation##WithPrimaryTensor : (MPSGraphTensor*)one secondaryTensor : (MPSGraphTensor*)other         \
      name : (NSString*)label {                                                                                          \
    return kind(self, #operation, one, other,                                                                            \
                [](const at::Tensor& a, const at::Tensor& b) -> at::Tensor { return expression; });                      \
  }

// clang-format off
@implementation MPSGraph (InterpretedArithmetic)

UNARY(absolute, x, at::abs(x))
UNARY(acos, x, at::acos(x))
UNARY(acosh, x, at::acosh(x))
UNARY(asin, x, at::asin(x))
UNARY(asinh, x, at::asinh(x))
UNARY(atan, x, at::atan(x))
UNARY(atanh, x, at::atanh(x))
UNARY(ceil, x, at::ceil(x))
UNARY(conjugate, x, at::conj_physical(x))
UNARY(cos, x, at::cos(x))
UNARY(cosh, x, at::cosh(x))
UNARY(erf, x, at::erf(x))
UNARY(exponent, x, at::exp(x))
UNARY(exponentBase2, x, at::exp2(x))
UNARY(exponentBase10, x, at::pow(10, x))
UNARY(floor, x, at::floor(x))
UNARY(isFinite, x, at::isfinite(x))
UNARY(isInfinite, x, at::isinf(x))
UNARY(isNaN, x, at::isnan(x))
UNARY(logarithm, x, at::log(x))
UNARY(logarithmBase2, x, at::log2(x))
UNARY(logarithmBase10, x, at::log10(x))
UNARY(negative, x, at::neg(x))
UNARY(not, x, at::logical_not(x))
UNARY(reLU, x, at::relu(x))
UNARY(reciprocal, x, at::reciprocal(x))
UNARY(reciprocalSquareRoot, x, at::rsqrt(x))
UNARY(reverseSquareRoot, x, at::rsqrt(x))
UNARY(rint, x, at::round(x))
UNARY(round, x, at::round(x))
UNARY(sigmoid, x, at::sigmoid(x))
UNARY(sign, x, at::sgn(x))
UNARY(signbit, x, at::signbit(x))
UNARY(sin, x, at::sin(x))
UNARY(sinh, x, at::sinh(x))
UNARY(square, x, at::mul(x, x))
UNARY(squareRoot, x, at::sqrt(x))
UNARY(tan, x, at::tan(x))
UNARY(tanh, x, at::tanh(x))
UNARY(truncate, x, at::trunc(x))

OF_TWO(binary, addition, at::add(a, b))
OF_TWO(binary, atan2, at::atan2(a, b))
OF_TWO(binary, division, quotient(a, b))
OF_TWO(binary, floorModulo, at::remainder(a, b))
OF_TWO(binary, matrixMultiplication, at::matmul(a, b))
OF_TWO(binary, maximum, at::fmax(a, b))
OF_TWO(binary, maximumWithNaNPropagation, at::maximum(a, b))
OF_TWO(binary, minimum, at::fmin(a, b))
OF_TWO(binary, minimumWithNaNPropagation, at::minimum(a, b))
OF_TWO(binary, modulo, at::fmod(a, b))
OF_TWO(binary, multiplication, at::mul(a, b))
OF_TWO(binary, power, at::pow(a, b))
OF_TWO(binary, subtraction, difference(a, b))
OF_TWO(comparison, equal, at::eq(a, b))
OF_TWO(comparison, greaterThan, at::gt(a, b))
OF_TWO(comparison, greaterThanOrEqualTo, at::ge(a, b))
OF_TWO(comparison, lessThan, at::lt(a, b))
OF_TWO(comparison, lessThanOrEqualTo, at::le(a, b))
OF_TWO(comparison, logicalAND, at::logical_and(a, b))
OF_TWO(comparison, logicalOR, at::logical_or(a, b))
OF_TWO(comparison, logicalXOR, at::logical_xor(a, b))
OF_TWO(comparison, notEqual, at::ne(a, b))
// clang-format on

- (MPSGraphTensor*)realPartOfTensor:(MPSGraphTensor*)tensor name:(NSString*)label {
  return unary(self, "realPart", tensor, [](const at::Tensor& x) { return at::real(x).contiguous(); });
}

- (MPSGraphTensor*)imaginaryPartOfTensor:(MPSGraphTensor*)tensor name:(NSString*)label {
  return unary(self, "imaginaryPart", tensor, [](const at::Tensor& x) { return at::imag(x).contiguous(); });
}

- (MPSGraphTensor*)inverseOfTensor:(MPSGraphTensor*)tensor name:(NSString*)label {
  return unary(self, "inverse", tensor, [](const at::Tensor& x) { return at::inverse(x); });
}

- (MPSGraphTensor*)clampWithTensor:(MPSGraphTensor*)tensor
                    minValueTensor:(MPSGraphTensor*)smallest
                    maxValueTensor:(MPSGraphTensor*)largest
                              name:(NSString*)label {
  require_one_type("clamp", tensor, smallest);
  require_one_type("clamp", tensor, largest);
  return add(self, "clamp", {tensor, smallest, largest},
             [](const Values& v) { return at::minimum(at::maximum(v[0], v[1]), v[2]); });
}

- (MPSGraphTensor*)selectWithPredicateTensor:(MPSGraphTensor*)predicate
                         truePredicateTensor:(MPSGraphTensor*)chosen
                        falsePredicateTensor:(MPSGraphTensor*)other
                                        name:(NSString*)label {
  require_one_type("select", chosen, other);
  return add(self, "select", {predicate, chosen, other},
             [](const Values& v) { return at::where(v[0].to(c10::kBool), v[1], v[2]); }, output_of(chosen).type());
}

@end
