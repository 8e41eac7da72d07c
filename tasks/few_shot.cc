#include "tasks/few_shot.h"

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/gzip.h"
#include "tasks/jsonl.h"
#include "tasks/python_random.h"

namespace dlm {
namespace {

std::vector<Json> rows_with_ids(const FewShot& form, const std::vector<Json>& rows,
                                const std::string& path) {
  std::vector<Json> chosen;
  for (const std::int64_t id : form.ids) {
    const std::size_t before = chosen.size();
    for (const Json& row : rows) {
      if (json_int(row, form.id_field.c_str(), path) == id)
        chosen.push_back(row);
    }
    if (chosen.size() != before + 1)
      throw DataError(path, -1, fmt::format("one row with '{}' {}", form.id_field, id),
                      fmt::format("{}", chosen.size() - before));
  }
  return chosen;
}

std::string origin_hint(const FewShot& form, const std::string& path) {
  return fmt::format(
      "a file of exemplars (JSON lines; the texts of {}, which no data set here holds); set "
      "DLMBENCH_DATA to the folder that holds {} or give --exemplars FILE",
      form.source, path);
}

}  // namespace

std::vector<Json> read_rows(const std::string& path, const std::string& sha256) {
  if (!sha256.empty()) {
    if (const std::string found = sha256_hex_of_file(path); found != sha256)
      throw DataError(path, -1, fmt::format("SHA-256 {}", sha256), found);
  }
  std::vector<Json> rows;
  for_each_json_row(read_text_file(path), path,
                    [&](const Json& row, const std::string& /*where*/) { rows.push_back(row); });
  return rows;
}

Exemplars::Exemplars(const FewShot& form, const std::string& path, std::int64_t shots,
                     std::int64_t n_documents) {
  if (form.kind == FewShotKind::kNone || shots == 0)
    return;
  if (!file_exists(path))
    throw DataError(path, -1, origin_hint(form, form.path), "no such file");
  rows_ = read_rows(path, form.sha256);
  const auto n = static_cast<std::int64_t>(rows_.size());
  if (form.kind == FewShotKind::kSampled) {
    // One generator goes through all documents, so document i needs the draws of those before.
    PythonRandom random(form.seed);
    for (std::int64_t i = 0; i < n_documents; ++i) drawn_.push_back(random.sample(n, shots));
    return;
  }
  if (form.kind == FewShotKind::kRows)
    rows_ = rows_with_ids(form, rows_, path);
  if (shots > static_cast<std::int64_t>(rows_.size()))
    throw ConfigError("shots", fmt::format("{}", shots),
                      fmt::format("0 to {}, the exemplars that there are", rows_.size()));
  rows_.resize(static_cast<std::size_t>(shots));
}

std::vector<const Json*> Exemplars::of(std::size_t i) const {
  std::vector<const Json*> chosen;
  if (drawn_.empty()) {
    for (const Json& row : rows_) chosen.push_back(&row);
    return chosen;
  }
  for (const std::int64_t row : drawn_.at(i))
    chosen.push_back(&rows_[static_cast<std::size_t>(row)]);
  return chosen;
}

}  // namespace dlm
