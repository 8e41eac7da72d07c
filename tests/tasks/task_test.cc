#include "tasks/task.h"

#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/gzip.h"
#include "tasks/extractor.h"
#include "tasks/few_shot.h"
#include "tasks/jsonl.h"
#include "tasks/judge.h"
#include "tasks/python_random.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

// Length and the first 16 digits of the SHA-256, as the published values are given.
std::string sum_of(const std::string& text) {
  return fmt::format("{} {}", text.size(), sha256_hex(text).substr(0, 16));
}

Task loaded(const std::string& id, const TaskOptions& options = {}) {
  return load_task(find_task(id), testing::data_root(), options);
}

// Expected: CPython 3.11, random.Random(seed).
TEST(PythonRandom, DrawsTheNumbersOfCPython) {
  PythonRandom random(1234);
  EXPECT_EQ(random.sample(7473, 5), (std::vector<std::int64_t>{6374, 3610, 957, 61, 742}));
  EXPECT_EQ(random.sample(7473, 5), (std::vector<std::int64_t>{7462, 6610, 4769, 286, 5501}));
  EXPECT_EQ(random.sample(7473, 5), (std::vector<std::int64_t>{5677, 687, 806, 6279, 2905}));
  EXPECT_EQ(PythonRandom(0).bits(32), 3626764237U);
  EXPECT_EQ(PythonRandom(std::uint64_t{1} << 40U).bits(32), 0x1A881D81U);
  EXPECT_EQ(PythonRandom(7).sample(10, 10),
            (std::vector<std::int64_t>{5, 2, 6, 9, 0, 7, 4, 1, 3, 8}));
  EXPECT_EQ(PythonRandom(7).sample(100, 8),
            (std::vector<std::int64_t>{41, 19, 50, 83, 6, 9, 68, 12}));
  EXPECT_THROW(PythonRandom(1).sample(3, 4), ConfigError);
}

TEST(TaskDefinition, EveryOneIsWhole) {
  for (const TaskDefinition& task : task_definitions()) {
    EXPECT_EQ(task.data.sha256.size(), 64U) << task.id;
    EXPECT_EQ(task.few_shot.kind == FewShotKind::kFile, !task.few_shot.block_sha256.empty())
        << task.id;
    EXPECT_FALSE(task.about.empty() || task.data.licence.empty() || task.data.source.empty())
        << task.id;
    EXPECT_EQ(&find_task(task.id), &task);
    for (const ExtractorForm& form : task.extractors) EXPECT_NO_THROW(Extractor{form}) << task.id;
  }
  EXPECT_EQ(task_definitions().size(), 18U);
  EXPECT_EQ(find_task("gsm8k_cot").data.sha256, find_task("gsm8k").data.sha256);
}

TEST(TaskDefinition, RefusesWhatItDoesNotKnow) {
  const auto error_of = [](const std::string& toml) -> std::string {
    try {
      parse_task(toml, "mine.toml");
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "no error";
  };
  const std::string base = "base = \"gsm8k\"\n";
  EXPECT_EQ(error_of(base + "id = \"mine\""), "no error");
  EXPECT_NE(error_of("base = \"gsm8\"").find("did you mean 'gsm8k'"), std::string::npos);
  EXPECT_NE(error_of(base + "stops = []").find("did you mean 'stop'"), std::string::npos);
  EXPECT_NE(error_of(base + "stop = 3").find("must be a list"), std::string::npos);
  EXPECT_NE(error_of(base + "version = -1").find("whole number"), std::string::npos);
  EXPECT_NE(error_of(base + "primary = \"strickt\"").find("did you mean 'strict'"),
            std::string::npos);
  EXPECT_NE(error_of(base + "[[extractor]]\nname = \"a\"\nkind = \"sanitised\"").find("execution"),
            std::string::npos);
  EXPECT_NE(error_of(base + "[few_shot]\nkind = \"sample\"").find("did you mean 'sampled'"),
            std::string::npos);
  EXPECT_NE(error_of(base + "[[extractor]]\nname = \"a\"\nkind = \"boxed\"\npattern = \"x\"")
                .find("pattern"),
            std::string::npos);
  EXPECT_NE(error_of("id = \"x\"").find("is needed"), std::string::npos);
}

// Expected: lm-evaluation-harness 4e7e0d47f33b.
TEST(PromptGolden, SampledExemplarsOfGsm8k) {
  DLM_REQUIRE_DATA("data/gsm8k");
  const Task task = loaded("gsm8k");
  ASSERT_EQ(task.documents().size(), 1319U);
  EXPECT_EQ(sum_of(task.prompt(0)), "3189 32680f263ba83280");
  EXPECT_EQ(sum_of(task.prompt(1)), "3321 e6b9a0195411932e");
  EXPECT_EQ(sum_of(task.prompt(2)), "3257 97eb2662b11bbd7b");
  const auto turns = task.messages(1, ChatTurns::kPerExemplar);
  EXPECT_EQ(turns.size(), 11U);
  const auto one = task.messages(1, ChatTurns::kOne);
  ASSERT_EQ(one.size(), 1U);
  EXPECT_EQ(one[0].content, task.prompt(1));
}

// The 60 prompts that the sample logs of a 4-shot run hold.
TEST(PromptGolden, PromptsOfTheSampleLogsByteForByte) {
  DLM_REQUIRE_DATA("data/generations/lm-eval-samples-llada8b-base");
  const Task task = loaded("gsm8k", {.shots = 4});
  std::int64_t compared = 0;
  for (const char* stamp : {"2025-12-06T16-10-02.895809", "2025-12-06T19-57-35.103228"}) {
    const std::string path = testing::data_path(
        fmt::format("data/generations/lm-eval-samples-llada8b-base/samples_gsm8k_{}.jsonl", stamp));
    for_each_json_row(read_text_file(path), path, [&](const Json& row, const std::string&) {
      const auto i = row.at("doc_id").get<std::size_t>();
      const auto& expected = row.at("arguments").at("gen_args_0").at("arg_0");
      EXPECT_EQ(task.prompt(i), expected.get<std::string>()) << stamp << " " << i;
      ++compared;
    });
  }
  EXPECT_EQ(compared, 120);  // a row a filter
}

TEST(PromptGolden, FixedExemplarsOfGsm8kAndMath) {
  DLM_REQUIRE_DATA("data/few_shot");
  const std::string cot = loaded("gsm8k_cot").prompt(0);
  EXPECT_EQ(sum_of(cot), "2429 901fead9abd2535b");
  EXPECT_EQ(sum_of(cot.substr(0, 2141)), "2141 3d55795c084e26f6");
  EXPECT_EQ(sum_of(loaded("minerva_math").prompt(0).substr(0, 1792)), "1792 d08a0ce44e131a3b");
  EXPECT_FALSE(loaded("gsm8k_4shot").prompt(0).empty());
}

TEST(PromptGolden, RowsOfMbppKeepTheirLineEnds) {
  DLM_REQUIRE_DATA("data/mbpp");
  const Task task = loaded("mbpp");
  ASSERT_EQ(task.documents().size(), 500U);
  EXPECT_EQ(task.documents()[0].id, "11");
  const std::string prompt = task.prompt(0);
  EXPECT_EQ(sum_of(prompt), "1822 8d9e21c0a49993c9");
  EXPECT_EQ(sum_of(prompt.substr(0, 1504)), "1504 a05310d8d22b4455");
  const auto turns = loaded("mbpp_instruct").messages(0, ChatTurns::kPerExemplar);
  ASSERT_EQ(turns.size(), 8U);
  EXPECT_TRUE(turns[1].content.starts_with("\n```python\ndef similar_elements"));
  EXPECT_TRUE(turns[1].content.ends_with("\n```"));
  EXPECT_EQ(turns[7].role, "assistant");
  EXPECT_EQ(turns[7].content, "\n```python\n");
}

TEST(PromptGolden, HumanEvalPromptsAreVerbatim) {
  DLM_REQUIRE_DATA("data/humaneval");
  const Task task = loaded("humaneval");
  ASSERT_EQ(task.documents().size(), 164U);
  EXPECT_EQ(sum_of(task.prompt(0)), "348 00b2e074e127a6a9");
  EXPECT_EQ(task.find_id("HumanEval/163"), 163U);
  const auto turns = loaded("humaneval_instruct").messages(0, ChatTurns::kOne);
  ASSERT_EQ(turns.size(), 2U);
  EXPECT_TRUE(turns[0].content.ends_with("\n```\n"));
  EXPECT_EQ(turns[1].content,
            "Here is the completed function:\n```python\n" + task.prompt(0) + "\n");
}

TEST(PromptGolden, ZeroShotPrompts) {
  DLM_REQUIRE_DATA("data/math");
  const Task math = loaded("hendrycks_math500");
  EXPECT_TRUE(math.prompt(0).starts_with("Problem: Convert the point $(0,3)$"));
  EXPECT_TRUE(math.prompt(0).ends_with("\nAnswer:"));
  EXPECT_EQ(math.documents()[0].reference, "\\left( 3, \\frac{\\pi}{2} \\right)");
  EXPECT_TRUE(loaded("gsm8k_cot_zeroshot").prompt(0).ends_with("\nA: Let's think step by step."));
}

TEST(FewShot, ExemplarsOfAnotherContentAreRefused) {
  DLM_REQUIRE_DATA("data/gsm8k");
  const testing::TemporaryFolder folder;
  std::string rows;
  for (int i = 0; i < 8; ++i)
    rows += R"({"question": "1+1?", "answer": "The answer is 2."})"
            "\n";
  write_file_atomically(folder.file("mine.jsonl"), rows);
  const Task wrong = loaded("gsm8k_cot", {.shots = {}, .exemplars = folder.file("mine.jsonl")});
  EXPECT_THROW(wrong.prompt(0), DataError);
  // Another number of exemplars is another prompt, which nobody has published a sum of.
  const Task fewer = loaded("gsm8k_cot", {.shots = 1, .exemplars = folder.file("mine.jsonl")});
  EXPECT_TRUE(fewer.prompt(0).starts_with("Q: 1+1?\nA: The answer is 2.\n\nQ: Janet"));
  const Task many = loaded("gsm8k_cot", {.shots = 9, .exemplars = folder.file("mine.jsonl")});
  EXPECT_THROW(many.prompt(0), ConfigError);
  const Task absent = loaded("gsm8k_cot", {.shots = {}, .exemplars = "/nowhere.jsonl"});
  EXPECT_NO_THROW((void)absent.judge("The answer is 18.", "18"));  // scoring needs no exemplars
  EXPECT_THROW(absent.prompt(0), DataError);
  EXPECT_THROW(loaded("gsm8k_cot_zeroshot", {.shots = 1}), ConfigError);
}

std::string small_task(const testing::TemporaryFolder& folder, const std::string& rows) {
  write_file_atomically(folder.file("rows.jsonl"), rows);
  return fmt::format(
      "id = \"mine\"\nversion = 1\nmax_new_tokens = 8\nreference = \"{{{{a}}}}\"\nprimary = \"n\"\n"
      "question_field = \"q\"\nstop = [\"END\", \"Q\"]\n[data]\npath = \"rows.jsonl\"\nsha256 = "
      "\"{}\"\n[prompt]\nquestion = \"{{{{q}}}}\"\n[[extractor]]\nname = \"n\"\npattern = "
      "'[0-9]+'\nchoice = \"last\"\n",
      sha256_hex(rows));
}

TEST(Task, ReadsJudgesAndFindsDocuments) {
  const testing::TemporaryFolder folder;
  const auto definition = parse_task(
      small_task(folder, "{\"q\": \" one \", \"a\": \"1\"}\n{\"q\": \"two\", \"a\": \"2\"}\n"),
      "t");
  const Task task = load_task(definition, folder.path());
  ASSERT_EQ(task.documents().size(), 2U);
  EXPECT_EQ(task.documents()[1].id, "000001");
  EXPECT_EQ(task.find_question("one\n"), 0U);
  EXPECT_EQ(task.find_question("three"), std::nullopt);
  EXPECT_EQ(task.find_row(2), std::nullopt);
  EXPECT_EQ(task.find_row(-1), std::nullopt);
  EXPECT_EQ(task.cut("1 then 2END3Q"), "1 then 2");
  EXPECT_EQ(task.prompt(0), " one ");
  EXPECT_TRUE(task.judge("1 then 2", "2").at(0).correct);
  const AnswerVerdict none = task.judge("no number", "2").at(0);
  EXPECT_FALSE(none.found || none.correct);
  EXPECT_EQ(none.answer, kNoAnswer);
}

TEST(Task, RefusesDamagedData) {
  const testing::TemporaryFolder folder;
  for (const std::string rows :
       {"{\"q\": 1, \"a\": \"1\"}\n", "[1]\n", "\n", "{\"q\": \"\xff\"}\n", "{\"q\": \"x\"\n"}) {
    const auto definition = parse_task(small_task(folder, rows), "t");
    EXPECT_THROW(load_task(definition, folder.path()), DataError) << rows;
  }
  const auto missing = parse_task(small_task(folder, "{\"q\": \"x\"}\n"), "t");
  EXPECT_THROW(load_task(missing, folder.path()), ConfigError);  // the template's {{a}}
  write_file_atomically(folder.file("rows.jsonl"), "{\"q\": \"y\"}\n");
  EXPECT_THROW(load_task(missing, folder.path()), DataError);  // another SHA-256
}

TEST(CutAtStops, CutsOneAfterTheOther) {
  EXPECT_EQ(cut_at_stops("a b c", {}), "a b c");
  EXPECT_EQ(cut_at_stops("a STOP b END", {"END", "STOP"}), "a ");
  EXPECT_EQ(cut_at_stops("xyz", {"yz", "xy"}), "x");  // "xy" is gone when its turn comes
}

TEST(Judge, AnAnswerAsLongAsABookIsWrongAtOnce) {
  const Judge judge(find_task("minerva_math"));
  EXPECT_FALSE(judge.correct(JudgeKind::kMath, std::string(1000000, '$'), "1"));
  EXPECT_FALSE(judge.correct(JudgeKind::kHendrycks, std::string(1000000, '.'), "1"));
  EXPECT_TRUE(judge.correct(JudgeKind::kMath, "x = \\frac{2}{4}", "0.5"));
  EXPECT_THROW((void)judge.correct(JudgeKind::kExecution, "", ""), ConfigError);
}

TEST(MajorityAnswer, FirstOfEquallyMany) {
  EXPECT_EQ(majority_answer({"3", "5", "5", "3", "4"}), "3");
  EXPECT_EQ(majority_answer({"3", "5", "5"}), "5");
  EXPECT_EQ(majority_answer({}), "");
}

}  // namespace
}  // namespace dlm
