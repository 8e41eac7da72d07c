// GSM8K answers: extraction and matching against lm-evaluation-harness, and real generations whose
// scores are known.
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "harness/base/gzip.h"
#include "harness/base/json.h"
#include "tasks/extractor.h"
#include "tasks/generations.h"
#include "tasks/jsonl.h"
#include "tasks/judge.h"
#include "tasks/task.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

Task gsm8k() {
  return load_task(find_task("gsm8k"), testing::data_root());
}

TEST(Gsm8kGolden, ExtractsAndMatchesLikeLmEval) {
  DLM_REQUIRE_DATA("fixtures/gsm8k_extract");
  const std::string path = testing::data_path("fixtures/gsm8k_extract/cases.jsonl");
  std::int64_t cases = 0;
  for_each_json_row(read_text_file(path), path, [&](const Json& row, const std::string& where) {
    const std::string response = json_string(row, "response", where);
    const std::string answer = json_string(row, "answer", where);
    for (const char* id : {"gsm8k", "gsm8k_cot", "gsm8k_cot_zeroshot"}) {
      const TaskDefinition& task = find_task(id);
      const Judge judge(task);
      for (std::size_t e = 0; e < 2; ++e) {
        const ExtractorForm& form = task.extractors[e];
        const std::string found = Extractor(form).find(response).value_or(kNoAnswer);
        EXPECT_EQ(found, json_string(row.at(id), form.name.c_str(), where)) << where << " " << id;
        EXPECT_EQ(judge.correct(form.judge, found, answer) ? 1 : 0,
                  json_int(row.at(id), (form.name + "_match").c_str(), where))
            << where << " " << id << " " << form.name;
        ++cases;
      }
    }
  });
  EXPECT_EQ(cases, 72 * 6);
}

TEST(Gsm8kGolden, EveryGoldAnswerIsRight) {
  DLM_REQUIRE_DATA("data/gsm8k");
  const Task task = gsm8k();
  std::string lines;
  for (std::size_t i = 0; i < task.documents().size(); ++i) {
    const auto verdicts = task.judge(task.documents()[i].reference, task.documents()[i].reference);
    EXPECT_TRUE(verdicts[0].correct && verdicts[1].correct) << i;
    lines += (i == 0 ? "" : "\n") + verdicts[0].answer + "\t" + verdicts[1].answer;
  }
  const Json expected =
      parse_json(read_text_file(testing::data_path("fixtures/gsm8k_extract/gold_as_response.json")),
                 "gold_as_response.json");
  EXPECT_EQ(sha256_hex(lines), expected.at("sha256").get<std::string>());
}

struct Counts {
  std::int64_t n = 0;
  std::map<std::string, std::int64_t> correct;
  std::int64_t differing = 0;  // from the file's own verdicts
};

Counts scored(const Task& task, const std::string& file, const GenerationOptions& options,
              const std::map<std::string, std::string>& filters) {
  Counts counts;
  const GenerationFile read = read_generations(testing::data_path(file), options);
  for (const Generation& generation : read.generations) {
    const auto place = generation.row >= 0 ? task.find_row(generation.row)
                                           : task.find_question(generation.question);
    EXPECT_TRUE(place.has_value()) << generation.where;
    if (!place)
      continue;
    EXPECT_EQ(place, task.find_question(generation.question)) << generation.where;
    ++counts.n;
    for (const AnswerVerdict& verdict :
         task.judge(task.cut(generation.text),
                    generation.reference.value_or(task.documents()[*place].reference))) {
      counts.correct[verdict.extractor] += verdict.correct ? 1 : 0;
      const auto filter = filters.find(verdict.extractor);
      if (filter != filters.end() && generation.recorded.at(filter->second) != verdict.correct)
        ++counts.differing;
    }
  }
  return counts;
}

TEST(Gsm8kGolden, LladaInstructInItsOwnAnswerFormat) {
  DLM_REQUIRE_DATA("data/generations/d1-llada8b-instruct");
  const Task task = gsm8k();
  const std::string folder = "data/generations/d1-llada8b-instruct/";
  const GenerationOptions own{.reference_member = "ground_truth"};
  const Counts short_ones = scored(task, folder + "gsm8k_instruct_128_64.jsonl", own, {});
  EXPECT_EQ(short_ones.n, 1130);
  EXPECT_EQ(short_ones.correct.at("boxed"), 783);
  const Counts long_ones = scored(task, folder + "gsm8k_instruct_512_256.jsonl", own, {});
  EXPECT_EQ(long_ones.n, 1130);
  EXPECT_EQ(long_ones.correct.at("boxed"), 883);
  // The files have null for the two negative answers among their questions; GSM8K's own find two
  // more right, and one.
  EXPECT_EQ(scored(task, folder + "gsm8k_instruct_128_64.jsonl", {}, {}).correct.at("boxed"), 785);
  EXPECT_EQ(scored(task, folder + "gsm8k_instruct_512_256.jsonl", {}, {}).correct.at("boxed"), 884);
}

TEST(Gsm8kGolden, LladaBaseSampleLogs) {
  DLM_REQUIRE_DATA("data/generations/lm-eval-samples-llada8b-base");
  const Task task = gsm8k();
  const std::string folder = "data/generations/lm-eval-samples-llada8b-base/samples_gsm8k_";
  const std::map<std::string, std::string> filters{{"strict", "strict-match"},
                                                   {"flexible", "flexible-extract"}};
  const Counts fifty = scored(task, folder + "2025-12-06T19-57-35.103228.jsonl", {}, filters);
  EXPECT_EQ(fifty.n, 50);
  EXPECT_EQ(fifty.correct.at("strict"), 32);
  EXPECT_EQ(fifty.correct.at("flexible"), 31);
  EXPECT_EQ(fifty.differing, 0);
  const Counts ten = scored(task, folder + "2025-12-06T16-10-02.895809.jsonl", {}, filters);
  EXPECT_EQ(ten.n, 10);
  EXPECT_EQ(ten.correct.at("strict"), 6);
  EXPECT_EQ(ten.correct.at("flexible"), 6);
  EXPECT_EQ(ten.differing, 0);
}

TEST(Gsm8kGolden, FourOpenAiSolutionSets) {
  DLM_REQUIRE_DATA("data/generations/gsm8k_example_model_solutions.jsonl.gz");
  const Task task = gsm8k();
  const std::map<std::string, std::int64_t> kCorrect{{"6b_finetuning", 286},
                                                     {"6b_verification", 515},
                                                     {"175b_finetuning", 458},
                                                     {"175b_verification", 742}};
  for (const auto& [set, correct] : kCorrect) {
    const GenerationOptions options{.text_member = set + ".solution",
                                    .verdict_member = set + ".is_correct"};
    const Counts counts = scored(task, "data/generations/gsm8k_example_model_solutions.jsonl.gz",
                                 options, {{"flexible", ""}});
    EXPECT_EQ(counts.n, 1319);
    EXPECT_EQ(counts.correct.at("flexible"), correct) << set;
    EXPECT_EQ(counts.correct.at("strict"), 0) << set;
    EXPECT_EQ(counts.differing, 0) << set;
  }
}

TEST(BoxedNumber, ReadsBoxesThenTags) {
  EXPECT_EQ(boxed_number("\\boxed{...} \\boxed{12 apples, 3 pears} \\boxed{7}"), "12");
  EXPECT_EQ(boxed_number("<answer>5 of 8\n</answer>"), "8");
  EXPECT_EQ(boxed_number("\\boxed{x} <answer> -2.5 </answer>"), "-2.5");
  EXPECT_EQ(boxed_number("<answer>none</answer> 5"), std::nullopt);
  EXPECT_EQ(boxed_number("\\boxed{5\n} \\boxed{ \\boxed{6}"), "6");
  EXPECT_EQ(boxed_number("\\boxed{7"), std::nullopt);
}

// Texts that would take a backtracking search hours.
TEST(BoxedNumber, RepetitionTakesLinearTime) {
  std::string open;
  std::string closed;
  for (int i = 0; i < 200000; ++i) {
    open += "\\boxed{<answer>";
    closed += "\\boxed{}";
  }
  EXPECT_EQ(boxed_number(open), std::nullopt);
  EXPECT_EQ(boxed_number(open + "\n}"), std::nullopt);
  EXPECT_EQ(boxed_number(closed), std::nullopt);
}

}  // namespace
}  // namespace dlm
