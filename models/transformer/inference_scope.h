// Passes that learn nothing. The first one also tells the C library to keep what passes free: their
// tensors would else be handed back to the system and cleared again, layer by layer.
//
// While one lives, operators of this thread skip autograd and its dispatch. Unlike
// c10::InferenceMode, the tensors made are ordinary ones: a caller may go on to change them in
// place.
//
// With Products::kSameForAnyRows a row's products do not depend, to the bit, on how many rows are
// multiplied with it (panel_linear.h; scopes within follow): what samplers ask for, so that a text
// is the same at any batch size. kFastest leaves that as it is.
#pragma once

#include <ATen/core/LegacyTypeDispatch.h>
#include <c10/core/GradMode.h>

namespace dlm {

enum class Products { kFastest, kSameForAnyRows };

class InferenceScope {
 public:
  explicit InferenceScope(Products products = Products::kFastest);
  ~InferenceScope();
  InferenceScope(const InferenceScope&) = delete;
  InferenceScope& operator=(const InferenceScope&) = delete;

 private:
  Products outer_;
  c10::AutoGradMode no_gradients_{false};
  at::AutoDispatchBelowADInplaceOrView below_autograd_;
};

// What the scopes of this thread ask for.
Products products_asked();

}  // namespace dlm
