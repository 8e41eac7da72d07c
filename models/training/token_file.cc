#include "models/training/token_file.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>
#include <span>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "models/checkpoint/safetensors.h"

namespace dlm {
namespace {

constexpr std::int64_t kMostIn16Bits = 1 << 16;

template <class T>
std::vector<T> values_of(const TensorView& view) {
  std::vector<T> values(view.bytes.size() / sizeof(T));
  if (!values.empty())  // memcpy refuses the null pointers of nothing
    std::memcpy(values.data(), view.bytes.data(), values.size() * sizeof(T));
  return values;
}

template <class T>
TensorToWrite to_write(Dtype dtype, const std::vector<T>& values) {
  return {dtype, {std::ssize(values)}, std::as_bytes(std::span(values))};
}

class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path) {
    for (TensorView& view : open_safetensors(path)) views_.emplace(view.name, view);
  }

  bool has(const std::string& name) const { return views_.contains(name); }

  const TensorView& get(const std::string& name, std::vector<Dtype> dtypes) const {
    const auto it = views_.find(name);
    if (it == views_.end())
      throw DataError(path_, -1, "a file of token ids, with a tensor '" + name + "'", "none");
    const TensorView& view = it->second;
    if (view.shape.size() != 1 ||
        std::find(dtypes.begin(), dtypes.end(), view.dtype) == dtypes.end())
      throw DataError(path_, view.file_offset(),
                      fmt::format("'{}' of one dimension, {}", name, dtype_name(dtypes.front())),
                      fmt::format("{} dimensions, {}", view.shape.size(), dtype_name(view.dtype)));
    return view;
  }

  Json about() const {
    const TensorView& view = get("about", {Dtype::kU8});
    return parse_json({reinterpret_cast<const char*>(view.bytes.data()), view.bytes.size()}, path_);
  }

  std::vector<std::int32_t> ids() const {
    const TensorView& view = get("ids", {Dtype::kU16, Dtype::kI32});
    if (view.dtype == Dtype::kI32)
      return values_of<std::int32_t>(view);
    const auto narrow = values_of<std::uint16_t>(view);
    return {narrow.begin(), narrow.end()};
  }

 private:
  const std::string& path_;
  std::map<std::string, TensorView> views_;
};

void check(const std::string& path, const TokenFile& file) {
  const auto fail = [&](const std::string& expected, const std::string& found) {
    throw DataError(path, -1, expected, found);
  };
  if (file.lengths.empty())
    fail("at least one document", "none");
  std::int64_t total = 0;
  for (const std::int64_t length : file.lengths) {
    if (length < 1 || length > std::ssize(file.ids))
      fail("documents of one token or more", fmt::format("a length of {}", length));
    total += length;
  }
  if (total != std::ssize(file.ids))
    fail(fmt::format("{} ids, as the lengths say", total), fmt::format("{}", file.ids.size()));
  for (std::size_t i = 0; i < file.ids.size(); ++i) {
    if (file.ids[i] < 0 || file.ids[i] >= file.vocab_size)
      fail(fmt::format("ids from 0 to {}", file.vocab_size - 1),
           fmt::format("{} at token {}", file.ids[i], i));
  }
  if (!file.nats.empty() && file.nats.size() != file.lengths.size())
    fail(fmt::format("{} values of 'nats'", file.lengths.size()),
         fmt::format("{}", file.nats.size()));
  for (const double nats : file.nats) {
    if (!std::isfinite(nats) || nats < 0)
      fail("finite 'nats' of at least 0", fmt::format("{}", nats));
  }
}

}  // namespace

std::optional<double> TokenFile::nats_per_token(std::int64_t limit) const {
  const std::int64_t n = limit > 0 ? std::min(limit, documents()) : documents();
  std::int64_t tokens = 0;
  double sum = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(n) && i < nats.size(); ++i) {
    tokens += lengths[i] - (first_token == "given" ? 1 : 0);
    sum += nats[i];
  }
  if (tokens == 0)
    return std::nullopt;
  return sum / static_cast<double>(tokens);
}

void write_token_file(const std::string& path, const TokenFile& file) {
  DLM_CHECK(std::accumulate(file.lengths.begin(), file.lengths.end(), std::int64_t{0}) ==
                std::ssize(file.ids),
            "lengths of another number of tokens than {}", file.ids.size());
  const std::string about = canonical_json({{"vocab_size", file.vocab_size},
                                            {"source", file.source},
                                            {"first_token", file.first_token}});
  std::map<std::string, TensorToWrite> tensors;
  std::vector<std::uint16_t> narrow;
  if (file.vocab_size <= kMostIn16Bits) {
    narrow.assign(file.ids.begin(), file.ids.end());
    tensors["ids"] = to_write(Dtype::kU16, narrow);
  } else {
    tensors["ids"] = to_write(Dtype::kI32, file.ids);
  }
  tensors["lengths"] = to_write(Dtype::kI64, file.lengths);
  if (!file.nats.empty())
    tensors["nats"] = to_write(Dtype::kF64, file.nats);
  tensors["about"] = {
      Dtype::kU8, {std::ssize(about)}, std::as_bytes(std::span(about.data(), about.size()))};
  write_safetensors(path, tensors);
}

TokenFile read_token_file(const std::string& path) {
  const Reader reader(path);
  TokenFile file;
  const Json about = reader.about();
  file.vocab_size = json_int(about, "vocab_size", path);
  file.source = json_string(about, "source", path);
  file.first_token = json_string(about, "first_token", path);
  if (file.first_token != "given" && file.first_token != "scored")
    throw DataError(path, -1, "first_token: given or scored", file.first_token);
  file.ids = reader.ids();
  file.lengths = values_of<std::int64_t>(reader.get("lengths", {Dtype::kI64}));
  if (reader.has("nats"))
    file.nats = values_of<double>(reader.get("nats", {Dtype::kF64}));
  check(path, file);
  return file;
}

}  // namespace dlm
