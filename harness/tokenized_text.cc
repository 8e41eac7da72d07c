#include "harness/tokenized_text.h"

#include <cstdint>
#include <exception>

namespace dlm {

std::vector<TokenizedDocument> tokenize_documents(const std::vector<Document>& documents,
                                                  const Tokenizer& tokenizer) {
  const auto count = static_cast<std::int64_t>(documents.size());
  std::vector<TokenizedDocument> tokenized(documents.size());
  std::vector<std::exception_ptr> failures(documents.size());
#pragma omp parallel for schedule(dynamic, 1)
  for (std::int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    try {
      tokenized[at] = tokenized_document(documents[at], tokenizer.encode(documents[at].text));
    } catch (...) {
      failures[at] = std::current_exception();
    }
  }
  for (const auto& failure : failures) {
    if (failure)
      std::rethrow_exception(failure);
  }
  return tokenized;
}

}  // namespace dlm
