// Makes small safetensors files, well-formed or not, and model folders.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "models/checkpoint/safetensors.h"

namespace dlm::testing {

// The bytes of a file with this header, not padded, and this data.
inline std::string raw_file(std::string_view header, std::string_view data) {
  std::string file(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(file.data(), &length, 8);
  return file.append(header).append(data);
}

template <class T>
TensorToWrite tensor_of(Dtype dtype, std::vector<std::int64_t> shape,
                        const std::vector<T>& values) {
  return {dtype, std::move(shape), std::as_bytes(std::span(values))};
}

inline std::string text_of(const TensorView& view) {
  return {reinterpret_cast<const char*>(view.bytes.data()), view.bytes.size()};
}

// The text of the DataError that `action` throws; a failure of the test where it throws none.
inline std::string data_error(const std::function<void()>& action) {
  try {
    action();
  } catch (const DataError& error) {
    return error.what();
  }
  ADD_FAILURE() << "no DataError";
  return {};
}

}  // namespace dlm::testing
