// Passes that learn nothing. The first one also tells the C library to keep what passes free: their
// tensors would else be handed back to the system and cleared again, layer by layer.
//
// While one lives, operators of this thread skip autograd and its dispatch. Unlike
// c10::InferenceMode, the tensors made are ordinary ones: a caller may go on to change them in
// place.
#pragma once

#include <ATen/core/LegacyTypeDispatch.h>
#include <c10/core/GradMode.h>

namespace dlm {

class InferenceScope {
 public:
  InferenceScope();
  InferenceScope(const InferenceScope&) = delete;
  InferenceScope& operator=(const InferenceScope&) = delete;

 private:
  c10::AutoGradMode no_gradients_{false};
  at::AutoDispatchBelowADInplaceOrView below_autograd_;
};

}  // namespace dlm
