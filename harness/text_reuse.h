// Text that a stored run wrote, for a run that asks something else of the same text: another judge,
// another reference. Writing it again would give the same tokens.
#pragma once

#include <string>

#include "results/store.h"

namespace dlm {

// The latest finished run whose text and costs are those of `header`'s run: settings and content
// differ at most in what text is measured with (quality.*, metrics; the judge, the reference, the
// featurizer), and the same build made it on the same machine. Empty where there is none.
std::string find_run_of_same_text(const RunHeader& header, Store& store);

}  // namespace dlm
