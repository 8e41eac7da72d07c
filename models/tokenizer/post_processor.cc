#include "models/tokenizer/post_processor.h"

#include <algorithm>
#include <string>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "models/tokenizer/component.h"

namespace dlm {
namespace {

const std::vector<std::string> kKnown = {"ByteLevel", "TemplateProcessing", "BertProcessing",
                                         "RobertaProcessing", "Sequence"};

const Json& member(const Json& object, const char* key, std::string_view where) {
  const auto it = object.is_object() ? object.find(key) : object.end();
  if (it == object.end())
    throw DataError(where, -1, fmt::format("'{}' in a post_processor", key), "none");
  return *it;
}

std::int64_t id_of(const Json& id, std::string_view where) {
  if (!id.is_number_unsigned())
    throw DataError(where, -1, "a token id in a post_processor", canonical_json(id).substr(0, 80));
  return id.get<std::int64_t>();
}

// ["[SEP]", 102]
std::int64_t named_id(const Json& spec, const char* key, std::string_view where) {
  const Json& pair = member(spec, key, where);
  if (!pair.is_array() || pair.size() != 2)
    throw DataError(where, -1, fmt::format("[token, id] in '{}'", key), canonical_json(pair));
  return id_of(pair[1], where);
}

void append_special(const Json& spec, const std::string& name, std::string_view where,
                    PostProcessor::Template& out) {
  const Json& token = member(member(spec, "special_tokens", where), name.c_str(), where);
  for (const Json& id : member(token, "ids", where)) out.emplace_back(id_of(id, where));
}

PostProcessor::Template read_template(const Json& spec, std::string_view where) {
  const Json& single = member(spec, "single", where);
  if (!single.is_array())
    throw DataError(where, -1, "an array 'single'", canonical_json(single).substr(0, 80));
  PostProcessor::Template out;
  for (const Json& piece : single) {
    if (piece.is_object() && piece.contains("SpecialToken")) {
      append_special(spec, json_string(piece["SpecialToken"], "id", where), where, out);
    } else {
      const std::string id = json_string(member(piece, "Sequence", where), "id", where);
      if (id != "A")
        throw DataError(where, -1, "sequence A in 'single'", "'" + id + "'");
      out.emplace_back(std::nullopt);
    }
  }
  if (std::count(out.begin(), out.end(), std::nullopt) != 1)
    throw DataError(where, -1, "sequence A once in 'single'", canonical_json(single).substr(0, 80));
  return out;
}

}  // namespace

std::vector<std::int64_t> PostProcessor::apply(std::vector<std::int64_t> ids) const {
  for (const Template& pieces : templates) {
    std::vector<std::int64_t> out;
    for (const auto& piece : pieces) {
      if (piece) {
        out.push_back(*piece);
      } else {
        out.insert(out.end(), ids.begin(), ids.end());
      }
    }
    ids = std::move(out);
  }
  return ids;
}

bool PostProcessor::begins_with(std::int64_t id) const {
  const std::vector<std::int64_t> around = apply({-1});
  return around.front() == id;
}

PostProcessor make_post_processor(const Json& spec, std::string_view where) {
  PostProcessor out;
  if (spec.is_null())
    return out;
  const std::string type = component_type(spec, where);
  if (type == "TemplateProcessing") {
    out.templates.push_back(read_template(spec, where));
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    out.templates.push_back(
        {named_id(spec, "cls", where), std::nullopt, named_id(spec, "sep", where)});
  } else if (type == "Sequence") {
    for (const Json& part : sequence_parts(spec, "processors", where)) {
      component_type(part, where);
      for (auto& inner : make_post_processor(part, where).templates)
        out.templates.push_back(std::move(inner));
    }
  } else if (type != "ByteLevel") {
    refuse_component("a post_processor", type, kKnown, where);
  }
  return out;
}

}  // namespace dlm
