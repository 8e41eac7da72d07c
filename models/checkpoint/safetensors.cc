#include "models/checkpoint/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "harness/base/text.h"

namespace dlm {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

constexpr std::size_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the same limit as the Rust library
constexpr std::size_t kDataAlignment = 64;
constexpr const char* kMetadataKey = "__metadata__";

struct DtypeRow {
  Dtype dtype;
  const char* name;
  std::size_t size;
};

constexpr std::array<DtypeRow, 19> kDtypes{{{Dtype::kBool, "BOOL", 1},
                                            {Dtype::kU8, "U8", 1},
                                            {Dtype::kI8, "I8", 1},
                                            {Dtype::kF8E4M3, "F8_E4M3", 1},
                                            {Dtype::kF8E5M2, "F8_E5M2", 1},
                                            {Dtype::kI16, "I16", 2},
                                            {Dtype::kU16, "U16", 2},
                                            {Dtype::kF16, "F16", 2},
                                            {Dtype::kBf16, "BF16", 2},
                                            {Dtype::kI32, "I32", 4},
                                            {Dtype::kU32, "U32", 4},
                                            {Dtype::kF32, "F32", 4},
                                            {Dtype::kC64, "C64", 8},
                                            {Dtype::kF64, "F64", 8},
                                            {Dtype::kI64, "I64", 8},
                                            {Dtype::kU64, "U64", 8},
                                            {Dtype::kF8E8M0, "F8_E8M0", 1},
                                            {Dtype::kF8E4M3Fnuz, "F8_E4M3FNUZ", 1},
                                            {Dtype::kF8E5M2Fnuz, "F8_E5M2FNUZ", 1}}};

const DtypeRow& dtype_row(Dtype dtype) {
  const auto* row = std::find_if(kDtypes.begin(), kDtypes.end(),
                                 [&](const DtypeRow& r) { return r.dtype == dtype; });
  DLM_CHECK(row != kDtypes.end(), "dtype {} has no row", static_cast<int>(dtype));
  return *row;
}

// A value of the file as it stands in an error message.
std::string shown(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 80);
}

// A name from the file as it stands in an error message: hostile files have long ones.
std::string shown_name(std::string_view name) {
  return name.size() <= 200 ? std::string(name) : replace_invalid_utf8(name.substr(0, 197)) + "...";
}

std::string shape_text(const TensorView& tensor) {
  return fmt::format("{} [{}]", dtype_name(tensor.dtype), fmt::join(tensor.shape, ", "))
      .substr(0, 80);
}

// Bytes of a tensor; nothing where the count of elements, zero-sized dimensions left out, or of
// bytes is beyond 63 bits.
std::optional<std::uint64_t> byte_count(std::span<const std::int64_t> shape, Dtype dtype) {
  auto bytes = static_cast<std::int64_t>(dtype_size(dtype));
  bool empty = false;
  for (const std::int64_t n : shape) {
    empty = empty || n == 0;
    if (__builtin_mul_overflow(bytes, std::max<std::int64_t>(n, 1), &bytes))
      return std::nullopt;
  }
  return empty ? 0 : static_cast<std::uint64_t>(bytes);
}

// Reads the header of one file.
class HeaderReader {
 public:
  explicit HeaderReader(const std::string& path) : path_(path), file_(MappedFile::open(path)) {}

  std::vector<TensorView> read() {
    find_header();
    const Json document = parse_json(header_, fmt::format("{}, header from byte 8", path_));
    std::vector<TensorView> tensors;
    tensors.reserve(document.size());
    for (const auto& [name, entry] : document.items()) {
      if (name == kMetadataKey) {
        check_metadata(entry);
      } else {
        tensors.push_back(read_tensor(name, entry));
      }
    }
    check_cover(tensors);
    return tensors;
  }

 private:
  void find_header() {
    const auto all = file_->bytes();
    if (all.size() < kLengthBytes) {
      throw DataError(path_, 0, "8 bytes of header length", fmt::format("{} bytes", all.size()));
    }
    std::uint64_t length = 0;
    std::memcpy(&length, all.data(), kLengthBytes);
    if (length < 2 || length > kMaxHeaderBytes) {
      throw DataError(path_, 0, fmt::format("a header length from 2 to {}", kMaxHeaderBytes),
                      fmt::format("{}", length));
    }
    if (length > all.size() - kLengthBytes) {
      throw DataError(path_, 0, "a header inside the file",
                      fmt::format("header length {} in a file of {} bytes", length, all.size()));
    }
    header_ = file_->text().substr(kLengthBytes, length);
    data_ = all.subspan(kLengthBytes + length);
    if (header_[0] != '{') {
      throw DataError(path_, kLengthBytes, "a header that begins with '{'",
                      fmt::format("byte 0x{:02x}", static_cast<unsigned char>(header_[0])));
    }
  }

  // Where the entry of a tensor stands: the document itself keeps no positions, so look for its key
  // (only when there is something to complain about).
  std::int64_t entry_offset(const std::string& name) const {
    const std::string key = Json(name).dump(-1, ' ', false, Json::error_handler_t::replace);
    auto at = header_.find(key);
    while (at != std::string_view::npos &&
           !strip_ascii_space(header_.substr(at + key.size(), 16)).starts_with(':')) {
      at = header_.find(key, at + 1);
    }
    return static_cast<std::int64_t>(kLengthBytes + (at == std::string_view::npos ? 0 : at));
  }

  [[noreturn]] void bad_entry(const std::string& name, std::string_view expected,
                              const std::string& found) const {
    throw DataError(path_, entry_offset(name),
                    fmt::format("tensor '{}' {}", shown_name(name), expected), found);
  }

  void check_metadata(const Json& metadata) const {
    if (!metadata.is_object()) {
      throw DataError(path_, entry_offset(kMetadataKey), "__metadata__ to be an object",
                      shown(metadata));
    }
    for (const auto& [key, value] : metadata.items()) {
      if (!value.is_string()) {
        throw DataError(path_, entry_offset(key),
                        fmt::format("__metadata__ '{}' to be a string", shown_name(key)),
                        shown(value));
      }
    }
  }

  TensorView read_tensor(const std::string& name, const Json& entry) const {
    if (!entry.is_object())
      bad_entry(name, "to be an object", shown(entry));
    for (const char* key : {"dtype", "shape", "data_offsets"}) {
      if (!entry.contains(key))
        bad_entry(name, fmt::format("to have '{}'", key), shown(entry));
    }
    if (entry.size() != 3)
      bad_entry(name, "to have dtype, shape and data_offsets only", shown(entry));
    TensorView tensor;
    tensor.name = name;
    tensor.dtype = read_dtype(name, entry["dtype"]);
    tensor.shape = read_counts(name, "shape", entry["shape"]);
    tensor.file = file_;
    tensor.bytes = read_range(tensor, entry["data_offsets"]);
    return tensor;
  }

  Dtype read_dtype(const std::string& name, const Json& value) const {
    const auto* text = value.get_ptr<const std::string*>();
    const auto* row = std::find_if(kDtypes.begin(), kDtypes.end(), [&](const DtypeRow& r) {
      return text != nullptr && *text == r.name;
    });
    if (row == kDtypes.end())
      bad_entry(name, "to have a known dtype (F32, BF16, ...)", shown(value));
    return row->dtype;
  }

  std::vector<std::int64_t> read_counts(const std::string& name, const char* key,
                                        const Json& values) const {
    if (!values.is_array())
      bad_entry(name, fmt::format("to have a list as {}", key), shown(values));
    std::vector<std::int64_t> counts;
    for (const Json& value : values) {
      // nlohmann stores every integer without a sign as unsigned.
      if (!value.is_number_unsigned() || value.get<std::uint64_t>() > INT64_MAX) {
        bad_entry(name, fmt::format("to have whole numbers of 63 bits in {}", key), shown(values));
      }
      counts.push_back(value.get<std::int64_t>());
    }
    return counts;
  }

  std::span<const std::byte> read_range(const TensorView& tensor, const Json& values) const {
    const auto offsets = read_counts(tensor.name, "data_offsets", values);
    if (offsets.size() != 2 || offsets[0] > offsets[1])
      bad_entry(tensor.name, "to have data_offsets [begin, end]", shown(values));
    const auto begin = static_cast<std::uint64_t>(offsets[0]);
    const auto end = static_cast<std::uint64_t>(offsets[1]);
    if (end > data_.size()) {
      bad_entry(tensor.name, fmt::format("to end within the {} bytes of data", data_.size()),
                fmt::format("data_offsets [{}, {}]", begin, end));
    }
    const auto size = byte_count(tensor.shape, tensor.dtype);
    if (!size)
      bad_entry(tensor.name, "to have a size below 2^63 bytes", shape_text(tensor));
    if (*size != end - begin) {
      bad_entry(tensor.name, fmt::format("to take {} bytes ({})", *size, shape_text(tensor)),
                fmt::format("data_offsets [{}, {}]", begin, end));
    }
    return data_.subspan(begin, end - begin);
  }

  // Sorts by position and proves that the tensors cover the data exactly once.
  void check_cover(std::vector<TensorView>& tensors) const {
    const auto position = [](const TensorView& t) {
      return std::tuple(t.bytes.data(), t.bytes.size(), std::string_view(t.name));
    };
    std::sort(tensors.begin(), tensors.end(),
              [&](const TensorView& a, const TensorView& b) { return position(a) < position(b); });
    const std::byte* next = data_.data();
    std::string_view previous = "the header";
    for (const TensorView& tensor : tensors) {
      if (tensor.bytes.data() != next) {
        const bool overlap = tensor.bytes.data() < next;
        throw DataError(
            path_, tensor.file_offset(),
            fmt::format("tensor '{}' to begin at byte {}, where {} ends", shown_name(tensor.name),
                        next - file_->bytes().data(), shown_name(previous)),
            overlap ? "an overlap" : "a gap");
      }
      next += tensor.bytes.size();
      previous = tensor.name;
    }
    if (next != data_.data() + data_.size()) {
      throw DataError(path_, next - file_->bytes().data(),
                      fmt::format("the end of the file after {}", shown_name(previous)),
                      fmt::format("{} more bytes", data_.data() + data_.size() - next));
    }
  }

  std::string path_;
  std::shared_ptr<const MappedFile> file_;
  std::string_view header_;
  std::span<const std::byte> data_;
};

using NamedTensor = std::pair<const std::string, TensorToWrite>;

// The order of the data in a file to be written.
std::vector<const NamedTensor*> data_order(const std::map<std::string, TensorToWrite>& tensors) {
  std::vector<const NamedTensor*> order;
  for (const NamedTensor& tensor : tensors) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(), [](const NamedTensor* a, const NamedTensor* b) {
    return dtype_size(a->second.dtype) > dtype_size(b->second.dtype);
  });
  return order;
}

void check_writable(const NamedTensor& named) {
  const auto& [name, tensor] = named;
  DLM_CHECK(name != kMetadataKey && !find_invalid_utf8(name), "tensor name '{}'", name);
  for (const std::int64_t n : tensor.shape)
    DLM_CHECK(n >= 0, "tensor '{}' has a dimension of {}", name, n);
  const auto size = byte_count(tensor.shape, tensor.dtype);
  DLM_CHECK(size && *size == tensor.bytes.size(), "tensor '{}' {} [{}] has {} bytes", name,
            dtype_name(tensor.dtype), fmt::join(tensor.shape, ", "), tensor.bytes.size());
}

// The header of the file: 8 bytes of length and the JSON, padded.
std::string header_text(const std::vector<const NamedTensor*>& order,
                        const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  for (const auto& [key, value] : metadata)
    DLM_CHECK(!find_invalid_utf8(key) && !find_invalid_utf8(value), "metadata '{}'", key);
  if (!metadata.empty())
    header[kMetadataKey] = metadata;
  std::size_t end = 0;
  for (const NamedTensor* named : order) {
    const auto& [name, tensor] = *named;
    const std::size_t begin = end;
    end += tensor.bytes.size();
    header[name] = {{"dtype", dtype_name(tensor.dtype)},
                    {"shape", tensor.shape},
                    {"data_offsets", {begin, end}}};
  }
  const std::string json = canonical_json(header);
  const std::size_t padded =
      (kLengthBytes + json.size() + kDataAlignment - 1) / kDataAlignment * kDataAlignment;
  const std::uint64_t length = padded - kLengthBytes;
  DLM_CHECK(length <= kMaxHeaderBytes, "a header of {} bytes", length);
  std::string text(padded, ' ');
  std::memcpy(text.data(), &length, kLengthBytes);
  std::memcpy(text.data() + kLengthBytes, json.data(), json.size());
  return text;
}

}  // namespace

std::size_t dtype_size(Dtype dtype) {
  return dtype_row(dtype).size;
}

const char* dtype_name(Dtype dtype) {
  return dtype_row(dtype).name;
}

std::int64_t TensorView::elements() const {
  return static_cast<std::int64_t>(bytes.size() / dtype_size(dtype));
}

std::int64_t TensorView::file_offset() const {
  return bytes.data() - file->bytes().data();
}

std::vector<TensorView> open_safetensors(const std::string& path) {
  return HeaderReader(path).read();
}

void write_safetensors(const std::string& path, const std::map<std::string, TensorToWrite>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  const auto order = data_order(tensors);
  for (const NamedTensor* named : order) check_writable(*named);
  AtomicFileWriter writer(path);
  writer.append(header_text(order, metadata));
  for (const NamedTensor* named : order) writer.append(named->second.bytes);
  writer.commit();
}

}  // namespace dlm
