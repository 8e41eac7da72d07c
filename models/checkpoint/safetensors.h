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

// All dtypes of the format that libtorch has too, whole bytes each (so without F4 and F6).
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
  kU64,
  kF8E8M0,
  kF8E4M3Fnuz,
  kF8E5M2Fnuz
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
  std::int64_t file_offset() const;  // of the first byte, in the file
};

// The header of one file, checked: header length at most 100 MB and inside the file, no duplicate
// names, known dtypes, shape x dtype = size, every range inside the file, no overlap, no gap,
// nothing after the last tensor. Tensors come in the order of their bytes. Throws DataError with
// path, offset and tensor name. Costs the header only: no tensor byte is touched.
std::vector<TensorView> open_safetensors(const std::string& path);

// A tensor to be written.
struct TensorToWrite {
  Dtype dtype = Dtype::kF32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;
};

// Writes the header sorted by name, padded with spaces so that the data begins at a multiple of 64
// bytes, and the data by falling element size, then name: the format allows no gaps, and so every
// tensor is still aligned to its element. Needs no memory beside the header. Written whole or not
// at all; throws DataError where the path cannot be written, InternalError where bytes and shape
// disagree or a name is not UTF-8 or is "__metadata__".
void write_safetensors(const std::string& path, const std::map<std::string, TensorToWrite>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace dlm
