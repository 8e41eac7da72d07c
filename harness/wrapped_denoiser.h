// A denoiser around another one: it does what that one does, and something beside (notes when its
// passes begin, say).
#pragma once

#include "models/block_decoder.h"

namespace dlm {

class WrappedDenoiser : public BlockDenoiser {
 public:
  virtual const BlockDenoiser& inner() const = 0;
};

// The model inside every wrapper: for what its own type alone can say.
inline const BlockDenoiser& innermost(const BlockDenoiser& model) {
  const auto* wrapped = dynamic_cast<const WrappedDenoiser*>(&model);
  return wrapped != nullptr ? innermost(wrapped->inner()) : model;
}

}  // namespace dlm
