// The matrix products of a training, forward and backward: f32, and sums of f32, by
// matrix_product.h where the processor has a matrix unit; the rest by libtorch.
//
// Shape legend: N rows, I inputs, O outputs. Of every tensor the last stride is 1.
#pragma once

#include <ATen/core/Tensor.h>

namespace dlm {

// y = x W^T (+ b): x (N, I), weight (O, I) -> (N, O), all of one dtype but b, which is f32.
at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

// d W, the gradient of x: d (N, O), weight (O, I) -> (N, I), all of one dtype.
at::Tensor product_backward(const at::Tensor& d, const at::Tensor& weight);

// gradient (O, I) f32 += d^T x.
void add_weight_gradient(const at::Tensor& gradient, const at::Tensor& d, const at::Tensor& x);

// gradient (O) f32 += the sum of d's rows.
void add_bias_gradient(const at::Tensor& gradient, const at::Tensor& d);

}  // namespace dlm
