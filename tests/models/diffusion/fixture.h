// Values of a safetensors file as doubles.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "harness/base/error.h"
#include "models/checkpoint/safetensors.h"
#include "tests/support/data.h"

namespace dlm::testing {

struct FixtureTensor {
  std::vector<std::int64_t> shape;
  std::vector<double> values;

  double at(std::int64_t index) const { return values.at(static_cast<std::size_t>(index)); }
};

class Fixture {
 public:
  explicit Fixture(const std::string& relative) : views_(open_safetensors(data_path(relative))) {}

  FixtureTensor get(const std::string& name) const {
    for (const TensorView& view : views_) {
      if (view.name == name)
        return {view.shape, values_of(view)};
    }
    throw DataError("fixture", -1, name, "nothing of that name");
  }

 private:
  template <class T>
  static std::vector<double> convert(const TensorView& view) {
    std::vector<double> values;
    for (std::int64_t i = 0; i < view.elements(); ++i) {
      T value;
      std::memcpy(&value, view.bytes.data() + static_cast<std::size_t>(i) * sizeof(T), sizeof(T));
      values.push_back(static_cast<double>(value));
    }
    return values;
  }

  static std::vector<double> values_of(const TensorView& view) {
    switch (view.dtype) {
      case Dtype::kF32:
        return convert<float>(view);
      case Dtype::kF64:
        return convert<double>(view);
      case Dtype::kI64:
        return convert<std::int64_t>(view);
      default:
        throw DataError(view.name, -1, "F32, F64 or I64", dtype_name(view.dtype));
    }
  }

  std::vector<TensorView> views_;
};

}  // namespace dlm::testing
