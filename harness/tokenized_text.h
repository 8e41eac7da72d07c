// Documents to token ids, on all threads.
#pragma once

#include <vector>

#include "harness/base/record.h"
#include "models/tokenizer/tokenizer.h"
#include "tasks/windows.h"

namespace dlm {

// In the documents' order, without special tokens. Throws what the tokenizer throws for the first
// document that it refuses.
std::vector<TokenizedDocument> tokenize_documents(const std::vector<Document>& documents,
                                                  const Tokenizer& tokenizer);

}  // namespace dlm
