#include "models/training/products.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>

#include "harness/base/error.h"
#include "models/training/matrix_product.h"

namespace dlm {
namespace {

bool is_brain(const at::Tensor& x) {
  return x.scalar_type() == at::kBFloat16;
}

// libtorch's own products of bf16 use the matrix unit as well as ours do, where the result is bf16.
bool is_ours(const at::Tensor& x) {
  return matrix_product_works() && !is_brain(x);
}

ProductSide side(const at::Tensor& matrix, bool transposed) {
  DLM_CHECK(matrix.dim() == 2 && (matrix.stride(1) == 1 || matrix.size(1) == 1),
            "a matrix whose last stride is {}", matrix.stride(-1));
  return {matrix.const_data_ptr(), matrix.stride(0), transposed};
}

// left right^T, or += where it adds.
void multiply(const ProductSide& left, const ProductSide& right, std::int64_t inner,
              const at::Tensor& out, MatrixProduct product) {
  product.rows = out.size(0);
  product.columns = out.size(1);
  product.inner = inner;
  product.left = left;
  product.right = right;
  product.out = out.mutable_data_ptr<float>();
  product.out_stride = out.stride(0);
  matrix_product(product);
}

}  // namespace

at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (is_ours(x)) {
    at::Tensor out = at::empty({x.size(0), weight.size(0)}, x.options());
    MatrixProduct with;
    with.bias = bias.defined() ? bias.const_data_ptr<float>() : nullptr;
    multiply(side(x, false), side(weight, false), x.size(1), out, with);
    return out;
  }
  if (bias.defined())
    return at::addmm(bias.to(x.scalar_type()), x, weight.t());
  return at::mm(x, weight.t());
}

at::Tensor product_backward(const at::Tensor& d, const at::Tensor& weight) {
  if (!is_ours(d))
    return at::mm(d, weight);
  at::Tensor out = at::empty({d.size(0), weight.size(1)}, d.options());
  multiply(side(d, false), side(weight, true), d.size(1), out, {});
  return out;
}

void add_weight_gradient(const at::Tensor& gradient, const at::Tensor& d, const at::Tensor& x) {
  if (matrix_product_works()) {
    MatrixProduct with;
    with.brain = is_brain(d);
    with.adds = true;
    multiply(side(d, true), side(x, true), d.size(0), gradient, with);
  } else if (is_brain(d)) {
    gradient.add_(at::mm(d.t(), x));
  } else {
    gradient.addmm_(d.t(), x);
  }
}

void add_bias_gradient(const at::Tensor& gradient, const at::Tensor& d) {
  gradient.add_(at::sum(d, {0}, false, at::kFloat));
}

}  // namespace dlm
