#include "models/checkpoint/weights.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include "harness/base/error.h"

namespace dlm {
namespace {

constexpr std::size_t kNamesShown = 5;

constexpr std::array<std::pair<Dtype, at::ScalarType>, 19> kScalarTypes{
    {{Dtype::kBool, at::kBool},
     {Dtype::kU8, at::kByte},
     {Dtype::kI8, at::kChar},
     {Dtype::kF8E4M3, at::kFloat8_e4m3fn},
     {Dtype::kF8E5M2, at::kFloat8_e5m2},
     {Dtype::kI16, at::kShort},
     {Dtype::kU16, at::kUInt16},
     {Dtype::kF16, at::kHalf},
     {Dtype::kBf16, at::kBFloat16},
     {Dtype::kI32, at::kInt},
     {Dtype::kU32, at::kUInt32},
     {Dtype::kF32, at::kFloat},
     {Dtype::kC64, at::kComplexFloat},
     {Dtype::kF64, at::kDouble},
     {Dtype::kI64, at::kLong},
     {Dtype::kU64, at::kUInt64},
     {Dtype::kF8E8M0, at::kFloat8_e8m0fnu},
     {Dtype::kF8E4M3Fnuz, at::kFloat8_e4m3fnuz},
     {Dtype::kF8E5M2Fnuz, at::kFloat8_e5m2fnuz}}};

// Keeps the file mapped while a tensor's storage lives.
struct Mapping {
  std::shared_ptr<const MappedFile> file;
};

void delete_mapping(void* mapping) {
  delete static_cast<Mapping*>(mapping);
}

void check_booleans(const TensorView& view) {
  const auto bad = std::find_if(view.bytes.begin(), view.bytes.end(),
                                [](std::byte b) { return b > std::byte{1}; });
  if (bad != view.bytes.end()) {
    throw DataError(view.file->path(), view.file_offset() + (bad - view.bytes.begin()),
                    fmt::format("tensor '{}' to hold booleans, 0 or 1", view.name),
                    fmt::format("{}", std::to_integer<int>(*bad)));
  }
}

bool is_aligned(const TensorView& view) {
  return reinterpret_cast<std::uintptr_t>(view.bytes.data()) % dtype_size(view.dtype) == 0;
}

template <class Shape>
std::string shape_text(const Shape& shape) {
  std::vector<std::string> parts;
  for (const std::int64_t n : shape) parts.push_back(n < 0 ? "any" : fmt::format("{}", n));
  return fmt::format("[{}]", fmt::join(parts, ", "));
}

template <class Wanted>
bool shape_fits(const std::vector<std::int64_t>& shape, const Wanted& wanted) {
  return std::equal(shape.begin(), shape.end(), wanted.begin(), wanted.end(),
                    [](std::int64_t n, std::int64_t w) { return w < 0 || n == w; });
}

}  // namespace

Weights::Weights(const Checkpoint& checkpoint, std::string prefix)
    : checkpoint_(checkpoint), prefix_(std::move(prefix)) {}

bool Weights::has(const std::string& name) const {
  return checkpoint_.tensors.contains(prefix_ + name);
}

const TensorView& Weights::find(const std::string& full_name) const {
  const auto found = checkpoint_.tensors.find(full_name);
  if (found != checkpoint_.tensors.end())
    return found->second;
  std::vector<std::string> names;
  for (const auto& [name, tensor] : checkpoint_.tensors) names.push_back(name);
  const std::string near = nearest_name(full_name, names);
  throw DataError(checkpoint_.folder, -1, fmt::format("tensor '{}'", full_name),
                  fmt::format("no such tensor among {}{}", names.size(),
                              near.empty() ? "" : fmt::format("; the nearest is '{}'", near)));
}

at::Tensor Weights::take(const std::string& name, std::initializer_list<std::int64_t> shape) {
  const TensorView& view = find(prefix_ + name);
  if (!shape_fits(view.shape, shape)) {
    throw DataError(view.file->path(), view.file_offset(),
                    fmt::format("tensor '{}' of shape {}", view.name, shape_text(shape)),
                    shape_text(view.shape));
  }
  if (!at::isFloatingType(scalar_type(view.dtype))) {
    throw DataError(view.file->path(), view.file_offset(),
                    fmt::format("tensor '{}' of a floating type", view.name),
                    dtype_name(view.dtype));
  }
  used_.insert(view.name);
  return as_tensor(view);
}

void Weights::ignore(const std::function<bool(std::string_view name)>& harmless) {
  for (const auto& [name, tensor] : checkpoint_.tensors) {
    if (harmless(name))
      used_.insert(name);
  }
}

void Weights::finish() const {
  std::vector<std::string> extra;
  for (const auto& [name, tensor] : checkpoint_.tensors) {
    if (!used_.contains(name))
      extra.push_back(fmt::format("'{}'", name));
  }
  if (extra.empty())
    return;
  const std::size_t count = extra.size();
  extra.resize(std::min(count, kNamesShown));
  throw DataError(checkpoint_.folder, -1, "only tensors that the model uses",
                  fmt::format("{} more: {}{}", count, fmt::join(extra, ", "),
                              count > kNamesShown ? ", ..." : ""));
}

at::Tensor as_tensor(const TensorView& view) {
  const auto options = at::TensorOptions(scalar_type(view.dtype)).device(at::kCPU);
  if (view.bytes.empty())
    return at::empty(view.shape, options);
  if (view.dtype == Dtype::kBool)
    check_booleans(view);
  if (!is_aligned(view)) {
    const at::Tensor copy = at::empty(view.shape, options);
    std::memcpy(copy.mutable_data_ptr(), view.bytes.data(), view.bytes.size());
    return copy;
  }
  return at::for_blob(const_cast<std::byte*>(view.bytes.data()), view.shape)
      .context(std::make_unique<Mapping>(Mapping{view.file}).release(), delete_mapping)
      .options(options)
      .target_device(at::kCPU)
      .make_tensor();
}

const MappedFile* mapped_file(const at::Tensor& tensor) {
  const auto* mapping = tensor.storage().data_ptr().cast_context<Mapping>(delete_mapping);
  return mapping == nullptr ? nullptr : mapping->file.get();
}

TensorToWrite as_tensor_to_write(const at::Tensor& contiguous_cpu) {
  DLM_CHECK(contiguous_cpu.device().is_cpu() && contiguous_cpu.is_contiguous(),
            "only contiguous CPU tensors are written");
  const auto* data = static_cast<const std::byte*>(contiguous_cpu.const_data_ptr());
  return {dtype_of(contiguous_cpu.scalar_type()), contiguous_cpu.sizes().vec(),
          std::span(data, contiguous_cpu.nbytes())};
}

at::ScalarType scalar_type(Dtype dtype) {
  const auto* row = std::find_if(kScalarTypes.begin(), kScalarTypes.end(),
                                 [&](const auto& r) { return r.first == dtype; });
  DLM_CHECK(row != kScalarTypes.end(), "dtype {} has no row", dtype_name(dtype));
  return row->second;
}

Dtype dtype_of(at::ScalarType type) {
  const auto* row = std::find_if(kScalarTypes.begin(), kScalarTypes.end(),
                                 [&](const auto& r) { return r.second == type; });
  DLM_CHECK(row != kScalarTypes.end(), "{} has no place in a safetensors file",
            c10::toString(type));
  return row->first;
}

}  // namespace dlm
