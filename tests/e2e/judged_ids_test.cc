// Texts that are token ids, judged as they are: by a judge that has a tokenizer of its own, by one
// whose vocabulary lacks the writer's mask, and refused where an id is beyond it.
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/text.h"
#include "tests/models/dit/random_dit.h"
#include "tests/support/data.h"
#include "tests/support/estimate_rows.h"
#include "tests/support/process.h"
#include "tests/support/tiny_model.h"

namespace dlm::testing {
namespace {

using Words = std::vector<std::string>;

class JudgedIds : public ::testing::Test {
 protected:
  ProcessResult run(const Words& more) const {
    Words words{"run", "--db", db_, "-o", "jsonl", "--metrics", "generative_perplexity"};
    words.insert(words.end(), more.begin(), more.end());
    return dlmbench(words);
  }

  // A denoiser of 8 tokens and the mask, without a tokenizer.
  std::string denoiser() const {
    RandomDit dit;
    dit.vocab_size = 9;
    write_random_dit(folder_.file("dit"), dit);
    return folder_.file("dit");
  }

  // The texts of the store's runs, as a file that `score` reads.
  std::string stored_ids() const {
    const ProcessResult rows =
        dlmbench({"export", "--what", "examples", "--db", db_, "-o", "jsonl"});
    EXPECT_EQ(rows.code, 0) << rows.err;
    std::string lines;
    for (const std::string& line : split(rows.out, '\n')) {
      if (line.empty())
        continue;
      Json ids = Json::array();
      for (const std::string& id :
           split(parse_json(line, "row").at("output").get<std::string>(), ' '))
        ids.push_back(parse_int(id).value());
      lines += canonical_json({{"ids", ids}}) + "\n";
    }
    write_file_atomically(folder_.file("ids.jsonl"), lines);
    return folder_.file("ids.jsonl");
  }

  TemporaryFolder folder_;
  std::string db_ = folder_.file("r.db");
};

TEST_F(JudgedIds, AJudgeWithATokenizerTakesThemAsTheyAre) {
  write_tiny_model(folder_.file("judge"));
  const auto own =
      estimate_rows(run({"--model", "exact:markov?v=8", "--task", "samples:documents=6&length=12",
                         "--judge", folder_.file("judge")}));
  const auto same = estimate_rows(
      dlmbench({"score", "genppl", "--generations", stored_ids(), "--field", "ids", "--judge",
                folder_.file("judge"), "--db", folder_.file("s.db"), "-o", "jsonl"}));
  const Json& value = own.at("generative_perplexity|pooled").at("value");
  EXPECT_EQ(value, same.at("generative_perplexity|pooled").at("value"));
  EXPECT_GT(value.get<double>(), 1);
}

TEST_F(JudgedIds, TheMaskNeedsNoPlaceInTheJudgesVocabulary) {
  const std::string model = denoiser();
  const auto judged =
      estimate_rows(run({"--model", model, "--task", "samples:documents=6&length=12&prompt_ids=1 3",
                         "--judge", "exact:markov?v=8"}));
  EXPECT_GT(judged.at("generative_perplexity|pooled").at("value").get<double>(), 1);
  EXPECT_EQ(judged.at("generative_perplexity|pooled").at("n_docs"), 6);
}

TEST_F(JudgedIds, AnIdBeyondTheJudgesVocabularyIsNamed) {
  const ProcessResult result =
      run({"--model", denoiser(), "--task", "samples:documents=6&length=12", "--judge",
           "exact:markov?v=3"});
  EXPECT_EQ(result.code, 2) << result.out;
  EXPECT_NE(result.err.find("knows 3 token ids, the model 9"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("a model of the same token ids: document 00000"), std::string::npos)
      << result.err;
  EXPECT_NE(result.err.find("and the judge knows 0 to 2"), std::string::npos) << result.err;
}

TEST_F(JudgedIds, ABadPromptIsRefused) {
  const std::string model = denoiser();
  const auto refused = [&](const std::string& keys, const char* message) {
    const ProcessResult result = run(
        {"--model", model, "--task", "samples:length=8&" + keys, "--judge", "exact:markov?v=8"});
    EXPECT_EQ(result.code, 1) << keys;
    EXPECT_NE(result.err.find(message), std::string::npos) << keys << ": " << result.err;
  };
  refused("prompt_ids=1 a", "token ids with a space");
  refused("prompt_ids=-1", "token ids with a space");
  refused("prompt_ids=", "token ids with a space");
  refused("prompt_ids=1&prompt=a", "not both");
}

}  // namespace
}  // namespace dlm::testing
