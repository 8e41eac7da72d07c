// While one lives, operators of this thread skip autograd and its dispatch. Unlike
// c10::InferenceMode, the tensors made are ordinary ones: a caller may go on to change them in
// place.
#pragma once

#include <ATen/core/LegacyTypeDispatch.h>
#include <c10/core/GradMode.h>

namespace dlm {

class InferenceScope {
 private:
  c10::AutoGradMode no_gradients_{false};
  at::AutoDispatchBelowADInplaceOrView below_autograd_;
};

}  // namespace dlm
