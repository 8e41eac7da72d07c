// Reading and writing safetensors files. Torch-free: a tensor here is a name, a dtype, a shape and
// bytes of a memory map. Source of the format: huggingface/safetensors README "Format".
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "harness/base/file.h"

namespace dlm {

// All dtypes of the format that libtorch has too.
enum class Dtype {
  kBool,
  kU8,
  kI8,
  kF8E4M3,
  kF8E5M2,
  kI16,
  kU16,
  kF16,
  kBf16,
  kI32,
  kU32,
  kF32,
  kC64,
  kF64,
  kI64,
  kU64
};

std::size_t dtype_size(Dtype dtype);  // bytes

const char* dtype_name(Dtype dtype);  // as in the file: "F32", "BF16", ...

// A tensor inside a mapped file; `bytes` stays valid while `file` lives.
struct TensorView {
  std::string name;
  Dtype dtype = Dtype::kF32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;
  std::shared_ptr<const MappedFile> file;

  std::int64_t elements() const;
};

// The header of one file, checked: header length at most 100 MB and inside the file, no duplicate
// names, known dtypes, shape x dtype = size, every range inside the file, no overlap, no gap,
// nothing after the last tensor. Throws DataError with path, offset and tensor name. Costs the
// header only: no tensor byte is touched.
std::vector<TensorView> open_safetensors(const std::string& path);

// A tensor to be written.
struct TensorToWrite {
  Dtype dtype = Dtype::kF32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;
};

// Writes tensors sorted by name, data aligned to 64 bytes (header padded with spaces). Written
// whole or not at all.
void write_safetensors(const std::string& path, const std::map<std::string, TensorToWrite>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace dlm
