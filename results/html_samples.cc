#include "results/html_samples.h"

#include <array>
#include <map>
#include <set>

#include "harness/base/error.h"
#include "results/blob.h"
#include "results/html.h"
#include "results/reveal.h"

namespace dlm {
namespace {

constexpr std::size_t kMostColumns = 6;

constexpr const char* kRevealNote =
    "<p class=\"note\">A diffusion sampler's tokens are shaded by the network pass that revealed "
    "them, from white (the first) to dark (the last); point at one, or go through the text with "
    "the arrow keys, for its number. The slider goes back to any pass.</p>\n";

struct Sample {
  std::string html, note;
  bool is_replayed = false;  // its tokens are told apart
};

// The runs of a group that have texts, with what names them.
struct SampleColumn {
  std::string run_id, model, settings;
  std::map<std::string, Sample> samples;
};

// At most `longest` bytes of the text, whole characters.
std::string beginning_of(const std::string& text, std::size_t longest) {
  if (text.size() <= longest)
    return text;
  while (longest > 0 && (static_cast<unsigned char>(text[longest]) & 0xC0) == 0x80) --longest;
  return text.substr(0, longest) + " […]";
}

// "score 1, ok, 16 passes, 64 tokens".
std::string note_of(const Statement& row) {
  std::vector<std::string> parts;
  if (const auto score = row.optional_real(1))
    parts.push_back(fmt::format("score {:g}", *score));
  if (!row.text(2).empty())
    parts.push_back(row.text(2));
  if (const auto passes = row.optional_integer(7); passes && *passes > 0)
    parts.push_back(fmt::format("{} passes", *passes));
  if (const auto tokens = row.optional_integer(8))
    parts.push_back(fmt::format("{} tokens", *tokens));
  return fmt::format("{}", fmt::join(parts, ", "));
}

// The texts of a run's first documents, by document.
std::map<std::string, Sample> samples_of(Store& store, const std::string& run_id,
                                         const ReportOptions& options) {
  std::map<std::string, Sample> samples;
  BlobCodec codec;
  const std::array<Cell, 2> parameters = {run_id, options.samples};
  store.scan(
      "SELECT s.doc_id, s.score, s.exec_status, s.out_sha, b.enc, b.data, r.tokens, s.nfe, "
      "s.kept_tok FROM sample s JOIN blob b ON b.sha256=s.out_sha LEFT JOIN reveal r ON "
      "r.run_id=s.run_id AND r.doc_id=s.doc_id AND r.rep=s.rep WHERE s.run_id=? AND s.rep=0 ORDER "
      "BY s.doc_id LIMIT ?",
      parameters, [&](const Statement& row) {
        const std::string text =
            beginning_of(codec.unpack({row.text(4), row.text(5)}, row.text(3), store.path()),
                         static_cast<std::size_t>(options.longest_sample));
        Sample sample{html_text(text), note_of(row), row.type(6) != ColumnType::kNull};
        if (sample.is_replayed) {
          const std::string where =
              fmt::format("{}: reveal order of document {}", store.path(), row.text(0));
          sample.html = reveal_html(text, parse_reveal(row.text(6), where));
        }
        samples[row.text(0)] = std::move(sample);
      });
  return samples;
}

// The model, and the sampler's settings by their short names.
SampleColumn column_of(Store& store, const std::string& run_id) {
  SampleColumn column{run_id, "", "", {}};
  const std::array<Cell, 1> parameters = {run_id};
  store.scan(
      "SELECT model, sampler, nullif(block_size,0), tokens_per_step FROM v_run WHERE run_id=?",
      parameters, [&](const Statement& row) {
        column.model = row.text(0);
        std::vector<std::string> parts;
        if (!row.text(1).empty())
          parts.push_back(row.text(1));
        if (const auto block = row.optional_integer(2))
          parts.push_back(fmt::format("L'={}", *block));
        if (const auto tokens = row.optional_real(3); tokens && *tokens > 0)
          parts.push_back(fmt::format("K={:g}", *tokens));
        column.settings = fmt::format("{}", fmt::join(parts, ", "));
      });
  return column;
}

std::string sample_html(const SampleColumn& column, const Sample& sample) {
  return fmt::format(
      "<div class=\"sample\"><a href=\"#{}\">{}</a> <span class=\"note\">{}<br>{}</span><pre{}>{}"
      "</pre></div>\n",
      run_anchor(column.run_id), html_text(column.model), html_text(column.settings),
      html_text(sample.note), sample.is_replayed ? " class=\"reveal\"" : "", sample.html);
}

}  // namespace

std::string run_anchor(const std::string& run_id) {
  return "run-" + run_id;
}

std::string samples_section(Store& store, const std::vector<std::vector<std::string>>& groups,
                            const ReportOptions& options) {
  std::string out;
  bool is_replayed = false;
  for (const auto& group : groups) {
    std::vector<SampleColumn> columns;
    std::set<std::string> documents;
    for (const std::string& run_id : group) {
      auto samples = samples_of(store, run_id, options);
      if (samples.empty() || columns.size() == kMostColumns)
        continue;
      for (const auto& [doc_id, sample] : samples) documents.insert(doc_id);
      columns.push_back(column_of(store, run_id));
      columns.back().samples = std::move(samples);
    }
    std::int64_t shown = 0;
    for (const std::string& doc_id : documents) {
      if (shown++ == options.samples)
        break;
      out += fmt::format("<h3>{}</h3>\n<div class=\"samples\">", html_text(doc_id));
      for (const SampleColumn& column : columns) {
        const auto sample = column.samples.find(doc_id);
        if (sample == column.samples.end())
          continue;
        out += sample_html(column, sample->second);
        is_replayed = is_replayed || sample->second.is_replayed;
      }
      out += "</div>\n";
    }
  }
  if (out.empty())
    return out;
  return std::string("<h2 id=\"samples\">Samples side by side</h2>\n") +
         (is_replayed ? kRevealNote : "") + out;
}

}  // namespace dlm
