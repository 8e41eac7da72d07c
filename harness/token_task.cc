#include "harness/token_task.h"

#include <algorithm>
#include <span>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/data_root.h"

namespace dlm {
namespace {

constexpr std::string_view kPrefix = "tokens:";

}  // namespace

bool is_token_task(std::string_view task) {
  return task.starts_with(kPrefix);
}

std::string token_file_path(std::string_view task) {
  DLM_CHECK(is_token_task(task), "task {} is no token file", task);
  return resolve_data_path(task.substr(kPrefix.size()));
}

std::string file_stem(std::string_view path) {
  const auto slash = path.rfind('/');
  const std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  return std::string(name.substr(0, name.find('.')));
}

std::vector<TokenizedDocument> token_documents(const TokenFile& file, std::int64_t limit) {
  const std::int64_t count = limit > 0 ? std::min(limit, file.documents()) : file.documents();
  std::vector<TokenizedDocument> documents;
  auto next = file.ids.begin();
  for (std::int64_t i = 0; i < count; ++i) {
    const auto end = next + file.lengths[static_cast<std::size_t>(i)];
    TokenizedDocument document;
    document.id = fmt::format("{:06}", i);
    document.ids.assign(next, end);
    document.sha = sha256_hex(std::as_bytes(std::span(document.ids)));
    documents.push_back(std::move(document));
    next = end;
  }
  return documents;
}

}  // namespace dlm
