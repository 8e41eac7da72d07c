// What a run's judge reads is the text that was written: no token more, and the same by every road
// to a judge.
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/text.h"
#include "tests/support/data.h"
#include "tests/support/estimate_rows.h"
#include "tests/support/process.h"
#include "tests/support/tiny_model.h"

namespace dlm::testing {
namespace {

using Words = std::vector<std::string>;

constexpr const char* kConventions[] = {"clean", "bd3lms", "mdlm"};
constexpr const char* kPerplexity = "generative_perplexity|pooled";

std::vector<Json> json_lines(const ProcessResult& result) {
  EXPECT_EQ(result.code, 0) << result.err;
  std::vector<Json> lines;
  for (const std::string& line : split(result.out, '\n')) {
    if (!line.empty())
      lines.push_back(parse_json(line, "stdout"));
  }
  return lines;
}

class JudgedText : public ::testing::Test {
 protected:
  // Six texts of 24 tokens, judged by the model that writes them.
  std::map<std::string, double> run(const std::string& model, const Words& more) const {
    Words words{"run",
                "--model",
                model,
                "--task",
                "samples:documents=6&length=24",
                "--stop-at",
                "length",
                "--judge",
                model,
                "--metrics",
                "text_statistics,generative_perplexity",
                "--db",
                db_,
                "-o",
                "jsonl"};
    words.insert(words.end(), more.begin(), more.end());
    return estimate_values(dlmbench(words));
  }

  // The stored texts, each behind `before`, as a file that `score` reads.
  std::string texts_file(const std::string& before) const {
    std::string lines;
    for (const Json& row :
         json_lines(dlmbench({"export", "--what", "examples", "--db", db_, "-o", "jsonl"})))
      lines += canonical_json({{"text", before + row.at("output").get<std::string>()}}) + "\n";
    write_file_atomically(folder_.file("texts.jsonl"), lines);
    return folder_.file("texts.jsonl");
  }

  std::map<std::string, double> score(const std::string& judge, const std::string& file,
                                      const Words& more) const {
    Words words{"score", "genppl", "--generations",          file, "--judge",
                judge,   "--db",   folder_.file("score.db"), "-o", "jsonl"};
    words.insert(words.end(), more.begin(), more.end());
    return estimate_values(dlmbench(words));
  }

  TemporaryFolder folder_;
  std::string db_ = folder_.file("r.db");
};

// A text begins without the space that a tokenizer like Llama's puts before every text and its
// decoder takes away, so that its first word is the token that was drawn. At temperature 0.6 no
// text is spelled by other tokens than its tokenizer's own.
using JudgedTextGolden = JudgedText;

TEST_F(JudgedTextGolden, EveryRoadToAJudgeGivesOneNumber) {
  DLM_REQUIRE_DATA("data/checkpoints/stories260K/hf");
  const std::string stories = "data:checkpoints/stories260K/hf";
  const Words cool{"--temperature", "0.6"};
  std::string prompts;
  for (int i = 0; i < 6; ++i) prompts += "{\"prompt\": \"\"}\n";
  write_file_atomically(folder_.file("prompts.jsonl"), prompts);
  std::string ids;
  for (const Json& out : json_lines(dlmbench(
           {"generate", "--model", stories, "--prompts", folder_.file("prompts.jsonl"),
            "--max-new-tokens", "24", "--ignore-eos", "--temperature", "0.6", "-o", "jsonl"}))) {
    Json all = Json::array({1});  // <s>
    for (const Json& id : out.at("ids")) all.push_back(id);
    ids += canonical_json({{"ids", all}}) + "\n";
  }
  write_file_atomically(folder_.file("ids.jsonl"), ids);
  for (const std::string convention : kConventions) {
    Words of_run = cool;
    of_run.insert(of_run.end(), {"--judge-convention", convention});
    const auto judged = run(stories, of_run);
    EXPECT_EQ(judged.at("sample_length|mean"), 24) << convention;
    const double value = judged.at(kPerplexity);
    EXPECT_GT(value, 1);
    EXPECT_EQ(value, score(stories, folder_.file("ids.jsonl"),
                           {"--field", "ids", "--convention", convention})
                         .at(kPerplexity))
        << convention;
    if (convention != "clean")
      continue;  // the export holds the texts of one run
    for (const std::string other : kConventions) {
      const auto text = score(stories, texts_file(""), {"--convention", other});
      EXPECT_EQ(text.at(kPerplexity), value) << other;  // <s> is no end, so all count the same
    }
  }
  const ProcessResult kept =
      dlmbench({"sql", "select distinct kept_tok as n from sample", "--db", db_, "-o", "csv"});
  EXPECT_EQ(kept.out, "n\n24\n");
}

// GPT-2's BOS is its end of text: at position 0 it is not scored, so the first token of the text
// is, as of texts that have it spelled out.
TEST_F(JudgedText, BeginsWithTheJudgesBosByEveryConvention) {
  const std::string model = folder_.file("m");
  write_tiny_model(model);
  for (const std::string convention : kConventions) {
    const auto judged = run(model, {"--judge-convention", convention, "--top-k", "256"});
    const std::string file = texts_file("<|endoftext|>");
    EXPECT_EQ(judged.at(kPerplexity),
              score(model, file, {"--convention", convention, "--limit", "6"}).at(kPerplexity))
        << convention;
  }
}

}  // namespace
}  // namespace dlm::testing
