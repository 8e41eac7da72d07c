#include "models/transformer/inference_scope.h"

#include <malloc.h>

namespace dlm {
namespace {

constexpr int kLargestKept = 32 << 20;  // the most that glibc accepts
constexpr int kKept = 512 << 20;

bool keep_freed_memory() {
#ifdef __GLIBC__
  return mallopt(M_MMAP_THRESHOLD, kLargestKept) != 0 && mallopt(M_TRIM_THRESHOLD, kKept) != 0;
#else
  return false;
#endif
}

}  // namespace

InferenceScope::InferenceScope() {
  [[maybe_unused]] static const bool kept = keep_freed_memory();
}

}  // namespace dlm
