// `post_processor` of a tokenizer.json: the tokens that a plain call adds around a text.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace dlm {

// Templates, applied one after the other; nothing in a template stands for the ids so far.
struct PostProcessor {
  using Template = std::vector<std::optional<std::int64_t>>;

  std::vector<Template> templates;

  std::vector<std::int64_t> apply(std::vector<std::int64_t> ids) const;

  // The ids put before an empty text.
  bool begins_with(std::int64_t id) const;
};

// ByteLevel (which adds nothing), TemplateProcessing (its `single`), BertProcessing,
// RobertaProcessing, Sequence; null adds nothing. Throws DataError that names any other. Source:
// tokenizers 0.21, processors/*.rs.
PostProcessor make_post_processor(const nlohmann::json& spec, std::string_view where);

}  // namespace dlm
