#include <cmath>
#include <cstdint>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include <ATen/ops/arange.h>
#include <ATen/ops/complex.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/view_as_real.h>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "models/checkpoint/weights.h"
#include "tests/models/checkpoint/files.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

using testing::data_error;
using testing::TemporaryFolder;

// Through a file and back as a mapped view.
class MappedTensor {
 public:
  explicit MappedTensor(const at::Tensor& tensor) {
    write_safetensors(path(), {{"w", as_tensor_to_write(tensor)}});
    view_ = open_safetensors(path())[0];
  }

  at::Tensor get() const { return as_tensor(view_); }

  std::string path() const { return folder_.file("x.safetensors"); }

  std::int64_t offset() const { return view_.file_offset(); }

 private:
  TemporaryFolder folder_;
  TensorView view_;
};

// All 65536 patterns of a 16-bit type, or the finite ones only.
at::Tensor every_pattern(at::ScalarType type) {
  return at::arange(65536, at::kInt).to(at::kShort).view(type);
}

at::Tensor finite_patterns(at::ScalarType type) {
  const at::Tensor all = every_pattern(type);
  return all.masked_select(at::isfinite(all.to(at::kFloat)));
}

bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() &&
         at::equal(a.view(at::kByte), b.view(at::kByte));
}

TEST(Materialise, AgreesWithLibtorchOnEveryFiniteHalf) {
  for (const auto type : {at::kBFloat16, at::kHalf}) {
    const at::Tensor values = finite_patterns(type);
    const MappedTensor mapped(values);
    EXPECT_TRUE(same_bits(materialise(mapped.get(), type, "w"), values));
    EXPECT_TRUE(same_bits(materialise(mapped.get(), at::kFloat, "w"), values.to(at::kFloat)));
  }
}

TEST(Materialise, RoundsFloatsToBf16AsLibtorchDoes) {
  // Every 4099th pattern, so all exponents and many mantissas, and all ties between neighbours.
  const at::Tensor some = at::arange(1, 1044000, at::kLong).mul(4099).to(at::kInt).view(at::kFloat);
  const at::Tensor ties =
      at::arange(65536, at::kLong).mul(65536).add(32768).to(at::kInt).view(at::kFloat);
  for (const at::Tensor& values : {some, ties}) {
    const at::Tensor kept = values.masked_select(at::isfinite(values.to(at::kBFloat16)));
    ASSERT_GT(kept.numel(), 60000);
    EXPECT_TRUE(same_bits(materialise(kept, at::kBFloat16, "w"), kept.to(at::kBFloat16)));
  }
}

TEST(Materialise, TakesEveryPairOfFloatingTypes) {
  for (const auto from :
       {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16, at::kFloat8_e4m3fn, at::kFloat8_e5m2,
        at::kFloat8_e4m3fnuz, at::kFloat8_e5m2fnuz, at::kFloat8_e8m0fnu}) {
    for (const auto to : {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16, at::kFloat8_e5m2}) {
      const at::Tensor values = at::arange(1, 13, at::kFloat).reshape({3, 4}).to(from);
      const MappedTensor mapped(values);
      EXPECT_TRUE(same_bits(materialise(mapped.get(), to, "w"), values.to(to)))
          << from << " to " << to;
      EXPECT_TRUE(same_bits(materialise(mapped.get().t(), to, "w"), values.t().contiguous().to(to)))
          << from << " to " << to << ", transposed";
    }
  }
}

TEST(Materialise, CopiesOtherTypesAsTheyAre) {
  const MappedTensor integers(at::arange(5, at::kLong));
  EXPECT_TRUE(at::equal(materialise(integers.get(), at::kLong, "w"), at::arange(5, at::kLong)));
  EXPECT_THROW(materialise(integers.get(), at::kFloat, "w"), InternalError);
  const at::Tensor complex = at::complex(at::ones({2}), at::ones({2}));
  EXPECT_TRUE(at::equal(materialise(complex, at::kComplexFloat, "w"), complex));
  EXPECT_THROW(materialise(complex, at::kFloat, "w"), InternalError);
}

TEST(Materialise, OwnsItsMemoryAndLeavesTheMapReadable) {
  const at::Tensor values = at::linspace(-1, 1, 3'000'001, at::kFloat);
  const MappedTensor mapped(values);
  const at::Tensor view = mapped.get();
  const at::Tensor copy = materialise(view, at::kFloat, "w");
  EXPECT_EQ(mapped_file(copy), nullptr);
  EXPECT_TRUE(at::equal(copy, values));
  copy.zero_();
  EXPECT_TRUE(at::equal(view, values));
}

TEST(Materialise, NamesTheFirstValueThatIsNotFinite) {
  const double inf = std::numeric_limits<double>::infinity();
  for (const auto from : {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16}) {
    for (const auto to : {at::kFloat, at::kHalf, at::kBFloat16}) {
      at::Tensor values = at::ones({1500, 1000}, from);
      values[1400][3] = std::nan("");
      values[1200][7] = -inf;
      const MappedTensor mapped(values);
      const auto offset = mapped.offset() + 1'200'007 * values.element_size();
      EXPECT_EQ(data_error([&] { materialise(mapped.get(), to, "h.0.w"); }),
                fmt::format("{}: at byte {}: expected tensor 'h.0.w' to hold finite numbers only, "
                            "found -inf at flat index 1200007",
                            mapped.path(), offset));
      EXPECT_EQ(data_error([&] { materialise(mapped.get().t(), to, "h.0.w"); }),
                fmt::format("{}: expected tensor 'h.0.w' to hold finite numbers only, found nan at "
                            "flat index 5900",
                            mapped.path()));
    }
  }
}

TEST(Materialise, SeesEveryPatternThatIsNotFinite) {
  for (const auto type : {at::kBFloat16, at::kHalf}) {
    const at::Tensor all = every_pattern(type);
    const at::Tensor bad = all.masked_select(at::isfinite(all.to(at::kFloat)).logical_not());
    ASSERT_EQ(bad.numel(), type == at::kHalf ? 2048 : 256);
    for (const auto to : {type, at::kFloat}) {
      for (std::int64_t i = 0; i < bad.numel(); ++i)
        EXPECT_THROW(materialise(bad.slice(0, i, i + 1), to, "w"), DataError);
    }
  }
  const at::Tensor nan8 = at::ones({3}).mul(std::nan("")).to(at::kFloat8_e4m3fn);
  EXPECT_THROW(materialise(nan8, at::kFloat8_e4m3fn, "w"), DataError);
  at::Tensor complex = at::complex(at::ones({3}), at::ones({3}));
  at::view_as_real(complex)[1][1] = std::nan("");
  EXPECT_EQ(data_error([&] { materialise(complex, at::kComplexFloat, "w"); }),
            "weights: expected tensor 'w' to hold finite numbers only, found nan at flat index 1");
}

TEST(Materialise, RefusesValuesThatTheTargetCannotHold) {
  at::Tensor values = at::ones({10}, at::kFloat);
  values[4] = 65520.0;
  EXPECT_EQ(data_error([&] { materialise(values, at::kHalf, "w"); }),
            "weights: expected tensor 'w' to fit into F16, found 65520 at flat index 4");
  values[4] = 65519.0;
  EXPECT_EQ(materialise(values, at::kHalf, "w")[4].item<double>(), 65504.0);
  values[4] = std::numeric_limits<float>::max();
  EXPECT_NE(data_error([&] { materialise(values, at::kBFloat16, "w"); }).find("to fit into BF16"),
            std::string::npos);
}

// Resident pages that belong to mapped files, in bytes.
std::int64_t resident_file_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssFile:"))
      return std::stoll(line.substr(8)) * 1024;
  }
  ADD_FAILURE() << "no RssFile in /proc/self/status";
  return 0;
}

TEST(Materialise, GivesTheMapsPagesBack) {
  const std::int64_t size = std::int64_t{256} << 20U;
  const MappedTensor mapped(at::ones({size / 4}, at::kFloat));
  const at::Tensor view = mapped.get();
  const std::int64_t before = resident_file_bytes();
  ASSERT_EQ(view.sum().item<float>(), static_cast<float>(size / 4));
  ASSERT_GT(resident_file_bytes() - before, size / 2);
  const at::Tensor copy = materialise(view, at::kFloat, "w");
  EXPECT_LT(resident_file_bytes() - before, size / 16);
  EXPECT_EQ(copy.sum().item<float>(), static_cast<float>(size / 4));
}

}  // namespace
}  // namespace dlm
