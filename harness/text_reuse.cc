#include "harness/text_reuse.h"

#include <utility>
#include <variant>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/json.h"

namespace dlm {
namespace {

// What decides text and costs, of a run's identity and settings.
std::string text_key(const std::string& identity_json, const std::string& spec_json) {
  Json identity = parse_json(identity_json, "identity");
  Json spec = parse_json(spec_json, "settings");
  for (const char* member : {"judge", "reference", "featurizer"}) identity.erase(member);
  if (identity.contains("settings"))
    identity["settings"].erase("quality");
  for (const char* member : {"quality", "metrics"}) spec.erase(member);
  return canonical_json(Json::array({identity, spec}));
}

}  // namespace

std::string find_run_of_same_text(const RunHeader& header, Store& store) {
  if (header.task_kind != "samples")
    return "";
  const Json spec = parse_json(header.spec_json, "settings");
  const std::vector<Cell> same{header.weights_sha256,
                               header.task_name,
                               static_cast<std::int64_t>(header.seed),
                               sha256_hex(header.env_json),
                               sha256_hex(header.build_json),
                               canonical_json(spec.at("sampler"))};
  const Table runs = store.query(
      "SELECT run_id, identity_json, spec_json FROM v_run WHERE status='done' AND superseded_by IS "
      "NULL AND weights_sha256=? AND task=? AND seed=? AND env_id=? AND build_id=? AND "
      "json_extract(spec_json,'$.sampler')=? ORDER BY run_id DESC",
      same);
  const std::string wanted = text_key(header.identity_json, header.spec_json);
  for (const std::vector<Cell>& run : runs.rows) {
    if (text_key(std::get<std::string>(run[1].value), std::get<std::string>(run[2].value)) ==
        wanted)
      return std::get<std::string>(run[0].value);
  }
  return "";
}

}  // namespace dlm
