// materialise() of weights.h: one pass that reads, converts, checks and gives the pages back.
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include <ATen/ops/empty.h>
#include <ATen/ops/view_as_real.h>

#include <sys/mman.h>
#include <unistd.h>

#include "harness/base/error.h"
#include "models/checkpoint/weights.h"

namespace dlm {
namespace {

constexpr std::int64_t kChunkElements = std::int64_t{1} << 20U;
constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::max();
constexpr std::uintptr_t kHugePage = std::uintptr_t{2} << 20U;

// Bit patterns of the formats: a value is not finite where all bits of kExponent are set.
struct F64Format {
  using Bits = std::uint64_t;
  static constexpr Bits kExponent = 0x7FF0'0000'0000'0000U;
};

struct F32Format {
  using Bits = std::uint32_t;
  static constexpr Bits kExponent = 0x7F80'0000U;
};

struct Bf16Format {
  using Bits = std::uint16_t;
  static constexpr Bits kExponent = 0x7F80U;
};

struct F16Format {
  using Bits = std::uint16_t;
  static constexpr Bits kExponent = 0x7C00U;
};

template <class Format>
bool is_bad(typename Format::Bits bits) {
  return (bits & Format::kExponent) == Format::kExponent;
}

// The kernels may meet data that its file does not align, so they load and store by memcpy, which
// compiles to plain vector moves.
template <class Bits>
Bits load(const std::byte* from, std::int64_t i) {
  Bits bits;
  std::memcpy(&bits, from + i * static_cast<std::int64_t>(sizeof(Bits)), sizeof(Bits));
  return bits;
}

template <class Bits>
void store(std::byte* to, std::int64_t i, Bits bits) {
  std::memcpy(to + i * static_cast<std::int64_t>(sizeof(Bits)), &bits, sizeof(Bits));
}

template <class Format>
struct Same {
  using From = Format;
  using To = Format;

  static typename Format::Bits convert(typename Format::Bits bits) { return bits; }
};

struct Bf16ToF32 {
  using From = Bf16Format;
  using To = F32Format;

  static std::uint32_t convert(std::uint16_t bits) { return std::uint32_t{bits} << 16U; }
};

// Wrong for NaN and infinity, which the check of the source refuses. A subnormal half is 2^-14 x
// mantissa: made as a normal float with the mantissa's bits, minus 2^-14, so that no subnormal
// float arises (they may be flushed to zero) and the loop has no branch.
struct F16ToF32 {
  using From = F16Format;
  using To = F32Format;

  static std::uint32_t convert(std::uint16_t bits) {
    constexpr std::uint32_t kRebias = (127U - 15U) << 23U;
    const std::uint32_t sign = (std::uint32_t{bits} & 0x8000U) << 16U;
    const std::uint32_t shifted = (std::uint32_t{bits} & 0x7FFFU) << 13U;
    const std::uint32_t normal = shifted + kRebias;
    const float subnormal = std::bit_cast<float>(normal + (1U << 23U)) - 0x1.0p-14F;
    const std::uint32_t is_normal = shifted >= (1U << 23U) ? ~0U : 0U;
    return sign | (normal & is_normal) | (std::bit_cast<std::uint32_t>(subnormal) & ~is_normal);
  }
};

// To nearest, ties to even.
struct F32ToBf16 {
  using From = F32Format;
  using To = Bf16Format;

  static std::uint16_t convert(std::uint32_t bits) {
    return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U);
  }
};

// Converts n values; false where one of them, before or after, is not finite.
template <class Rule>
bool convert_values(const std::byte* __restrict from, std::byte* __restrict to, std::int64_t n) {
  std::uint32_t bad = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto source = load<typename Rule::From::Bits>(from, i);
    const auto target = Rule::convert(source);
    store(to, i, target);
    bad |= static_cast<std::uint32_t>(is_bad<typename Rule::From>(source)) |
           static_cast<std::uint32_t>(is_bad<typename Rule::To>(target));
  }
  return bad == 0;
}

// Index of the first value that is not finite before or after conversion, or n.
template <class Rule>
std::int64_t find_bad(const std::byte* from, std::int64_t n) {
  std::int64_t i = 0;
  for (; i < n; ++i) {
    const auto source = load<typename Rule::From::Bits>(from, i);
    if (is_bad<typename Rule::From>(source) || is_bad<typename Rule::To>(Rule::convert(source)))
      break;
  }
  return i;
}

struct Conversion {
  at::ScalarType from;
  at::ScalarType to;
  bool (*convert)(const std::byte* from, std::byte* to, std::int64_t n);
  std::int64_t (*find_bad)(const std::byte* from, std::int64_t n);
};

template <class Rule>
constexpr Conversion conversion(at::ScalarType from, at::ScalarType to) {
  return {from, to, convert_values<Rule>, find_bad<Rule>};
}

// The pairs that models load, in one fused pass; every other pair goes through libtorch's copy.
constexpr std::array kConversions{conversion<Same<F64Format>>(at::kDouble, at::kDouble),
                                  conversion<Same<F32Format>>(at::kFloat, at::kFloat),
                                  conversion<Same<Bf16Format>>(at::kBFloat16, at::kBFloat16),
                                  conversion<Same<F16Format>>(at::kHalf, at::kHalf),
                                  conversion<Bf16ToF32>(at::kBFloat16, at::kFloat),
                                  conversion<F16ToF32>(at::kHalf, at::kFloat),
                                  conversion<F32ToBf16>(at::kFloat, at::kBFloat16)};

const Conversion* find_conversion(at::ScalarType from, at::ScalarType to) {
  const auto* row = std::find_if(kConversions.begin(), kConversions.end(),
                                 [&](const auto& c) { return c.from == from && c.to == to; });
  return row == kConversions.end() ? nullptr : row;
}

const std::byte* data_of(const at::Tensor& tensor) {
  return static_cast<const std::byte*>(tensor.const_data_ptr());
}

void lower_to(std::atomic<std::int64_t>& smallest, std::int64_t value) {
  std::int64_t seen = smallest.load();
  while (value < seen && !smallest.compare_exchange_weak(seen, value)) {
  }
}

// Both contiguous. Returns the first bad index or kNone.
std::int64_t convert_all(const Conversion& conversion, const at::Tensor& source,
                         const at::Tensor& target) {
  const std::int64_t count = source.numel();
  const std::int64_t from_size = source.element_size();
  const std::int64_t to_size = target.element_size();
  const std::byte* from = data_of(source);
  auto* to = static_cast<std::byte*>(target.mutable_data_ptr());
  const MappedFile* file = mapped_file(source);
  std::atomic<std::int64_t> bad = kNone;
#pragma omp parallel for schedule(dynamic, 1)
  for (std::int64_t begin = 0; begin < count; begin += kChunkElements) {
    const std::int64_t n = std::min(kChunkElements, count - begin);
    const std::byte* chunk = from + begin * from_size;
    const std::span bytes(chunk, static_cast<std::size_t>(n * from_size));
    if (!conversion.convert(chunk, to + begin * to_size, n))
      lower_to(bad, begin + conversion.find_bad(chunk, n));
    if (file != nullptr)
      file->release_pages(bytes);
  }
  return bad;
}

// First value of a contiguous floating tensor that is not finite, or kNone.
template <class Format>
std::int64_t scan_values(const std::byte* data, std::int64_t count) {
  std::atomic<std::int64_t> bad = kNone;
#pragma omp parallel for schedule(dynamic, 1)
  for (std::int64_t begin = 0; begin < count; begin += kChunkElements) {
    const std::int64_t n = std::min(kChunkElements, count - begin);
    const std::byte* chunk =
        data + begin * static_cast<std::int64_t>(sizeof(typename Format::Bits));
    const std::int64_t found = find_bad<Same<Format>>(chunk, n);
    if (found < n)
      lower_to(bad, begin + found);
  }
  return bad;
}

std::int64_t scan(const at::Tensor& contiguous) {
  const std::byte* data = data_of(contiguous);
  const std::int64_t count = contiguous.numel();
  switch (contiguous.scalar_type()) {
    case at::kDouble:
      return scan_values<F64Format>(data, count);
    case at::kFloat:
      return scan_values<F32Format>(data, count);
    case at::kBFloat16:
      return scan_values<Bf16Format>(data, count);
    case at::kHalf:
      return scan_values<F16Format>(data, count);
    case at::kComplexFloat: {
      const std::int64_t bad = scan_values<F32Format>(data, 2 * count);
      return bad == kNone ? kNone : bad / 2;
    }
    default:
      return at::isFloatingType(contiguous.scalar_type()) ? scan(contiguous.to(at::kFloat)) : kNone;
  }
}

// A view that the fused pass does not cover: transposed, or of a rarer pair of dtypes.
std::int64_t copy_all(const at::Tensor& source, at::Tensor& target) {
  target.copy_(source);
  if (const MappedFile* file = mapped_file(source)) {
    const at::Storage& storage = source.storage();
    file->release_pages({static_cast<const std::byte*>(storage.data()), storage.nbytes()});
  }
  return scan(target);
}

// Asks for huge pages, which a fresh allocation otherwise gets one 4 KB fault at a time; they also
// serve every later pass over the weights.
void advise_huge_pages(const at::Tensor& fresh) {
  const auto begin = reinterpret_cast<std::uintptr_t>(fresh.const_data_ptr());
  const std::uintptr_t first = (begin + kHugePage - 1) / kHugePage * kHugePage;
  const std::uintptr_t last = (begin + fresh.nbytes()) / kHugePage * kHugePage;
  if (first < last)
    ::madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
}

[[noreturn]] void refuse(const at::Tensor& source, at::ScalarType dtype, const std::string& name,
                         std::int64_t index) {
  const at::Tensor element = source.reshape({-1}).select(0, index);
  const at::Tensor parts = element.is_complex() ? at::view_as_real(element) : element;
  double number = 0;
  for (std::int64_t i = 0; i < parts.numel() && std::isfinite(number); ++i)
    number = parts.reshape({-1}).select(0, i).to(at::kDouble).item<double>();
  const MappedFile* file = mapped_file(source);
  const bool has_offset = file != nullptr && source.is_contiguous();
  const std::int64_t offset =
      has_offset ? data_of(source) - file->bytes().data() + index * source.element_size() : -1;
  throw DataError(file == nullptr ? "weights" : file->path(), offset,
                  std::isfinite(number)
                      ? fmt::format("tensor '{}' to fit into {}", name, dtype_name(dtype_of(dtype)))
                      : fmt::format("tensor '{}' to hold finite numbers only", name),
                  fmt::format("{} at flat index {}", number, index));
}

}  // namespace

at::Tensor materialise(const at::Tensor& mapped, at::ScalarType dtype, const std::string& name) {
  const at::ScalarType from = mapped.scalar_type();
  DLM_CHECK(mapped.device().is_cpu(), "tensor '{}' is not on the CPU", name);
  DLM_CHECK(from == dtype || (at::isFloatingType(from) && at::isFloatingType(dtype)),
            "tensor '{}' is {} and cannot become {}", name, c10::toString(from),
            c10::toString(dtype));
  at::Tensor copy = at::empty(mapped.sizes(), at::TensorOptions(dtype).device(at::kCPU));
  advise_huge_pages(copy);
  const Conversion* conversion = mapped.is_contiguous() ? find_conversion(from, dtype) : nullptr;
  const std::int64_t bad =
      conversion != nullptr ? convert_all(*conversion, mapped, copy) : copy_all(mapped, copy);
  if (bad != kNone)
    refuse(mapped, dtype, name, bad);
  return copy;
}

void check_finite(const at::Tensor& mapped, const std::string& name) {
  DLM_CHECK(mapped.is_contiguous(), "tensor '{}' is not contiguous", name);
  const std::int64_t bad = scan(mapped);
  if (const MappedFile* file = mapped_file(mapped))
    file->release_pages({data_of(mapped), mapped.nbytes()});
  if (bad != kNone)
    refuse(mapped, mapped.scalar_type(), name, bad);
}

}  // namespace dlm
