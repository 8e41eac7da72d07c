// Dream and LLaDA through the program.
#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "harness/base/json.h"
#include "tests/models/canvas/random_canvas.h"
#include "tests/support/data.h"
#include "tests/support/process.h"
#include "tests/support/stored_tensors.h"
#include "tests/support/tiny_model.h"

namespace dlm::testing {
namespace {

using Words = std::vector<std::string>;
using Ids = std::vector<std::int64_t>;

Ids ids_of(const TensorView& view) {
  Ids ids(view.bytes.size() / sizeof(std::int64_t));
  std::memcpy(ids.data(), view.bytes.data(), view.bytes.size());
  return ids;
}

// New tokens of a fixture's prompt, by the program.
Ids generated(const std::string& fixture, const Words& more) {
  const std::string folder = data_path("fixtures/" + fixture);
  const auto expected = tensors_of(folder + "/expected.safetensors");
  Words args = {"generate",
                "--model",
                folder,
                "--prompt-ids",
                fmt::format("{}", fmt::join(ids_of(expected.at("prompt")), ",")),
                "-o",
                "jsonl",
                "--temperature",
                "0",
                "--ignore-eos",
                "--threads",
                "1"};
  args.insert(args.end(), more.begin(), more.end());
  const ProcessResult result = dlmbench(args);
  EXPECT_EQ(result.code, 0) << result.err;
  return result.code == 0 ? parse_json(result.out, "stdout")["ids"].get<Ids>() : Ids{};
}

Ids expected_tail(const std::string& fixture, const std::string& name, std::size_t count) {
  const auto expected = tensors_of(data_path("fixtures/" + fixture) + "/expected.safetensors");
  const Ids all = ids_of(expected.at(name + ".x"));
  return {all.end() - static_cast<std::ptrdiff_t>(count), all.end()};
}

TEST(WholeTextGolden, GenerateWritesThePublishedTexts) {
  DLM_REQUIRE_DATA("fixtures/dream_tiny");
  const Words dream = {"--published", "dream", "--max-new-tokens", "24", "--steps", "8"};
  const auto with = [](Words words, const Words& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  EXPECT_EQ(generated("dream_tiny", with(dream, {"--sampler", "maskgit_plus"})),
            expected_tail("dream_tiny", "maskgit_plus_s8", 24));
  EXPECT_EQ(generated("dream_tiny", with(dream, {"--sampler", "entropy", "--nucleus-p", "0.9"})),
            expected_tail("dream_tiny", "entropy_topp_s8", 24));
  const Words llada = {"--published",  "llada", "--max-new-tokens", "32",
                       "--block-size", "8",     "--steps",          "4"};
  EXPECT_EQ(generated("llada_tiny", llada), expected_tail("llada_tiny", "gen", 32));
  EXPECT_EQ(generated("llada_tiny", with(llada, {"--guidance", "2.5"})),
            expected_tail("llada_tiny", "gen_cfg", 32));
  const Words fast = {"--published", "fast_dllm", "--block-size", "8", "--sampler", "threshold"};
  EXPECT_EQ(generated("llada_tiny", with(fast, {"--max-new-tokens", "32", "--stale-keys", "dual",
                                                "--threshold", "0.3"})),
            expected_tail("llada_tiny", "dual_th30", 32));
  EXPECT_EQ(generated("dream_tiny", with(fast, {"--max-new-tokens", "24", "--stale-keys", "prefix",
                                                "--threshold", "0.25"})),
            expected_tail("dream_tiny", "block_prefix_th25", 24));
}

TEST(WholeTextGolden, ForwardMatchesTheFixtures) {
  DLM_REQUIRE_DATA("fixtures/dream_tiny");
  for (const std::string name : {"dream_tiny", "llada_tiny"}) {
    const TemporaryFolder folder;
    const std::string inputs = data_path("fixtures/" + name) + "/expected.safetensors";
    const ProcessResult result = dlmbench({"forward", "--model", data_path("fixtures/" + name),
                                           "--inputs", inputs, "--outputs", folder.file("out")});
    ASSERT_EQ(result.code, 0) << result.err;
    const auto got = tensors_of(folder.file("out"));
    const auto expected = tensors_of(inputs);
    for (const std::string output : {"logits", "logits_shifted"}) {
      if (!expected.contains(output))
        continue;
      const auto have = floats_of(got.at(output));
      const auto want = floats_of(expected.at(output));
      ASSERT_EQ(have.size(), want.size());
      for (std::size_t i = 0; i < want.size(); ++i)
        ASSERT_LE(std::abs(have[i] - want[i]), 3e-5) << name << " " << output << " at " << i;
    }
  }
}

// A random Dream over bytes, with a tokenizer and a chat template.
class WholeText : public ::testing::Test {
 protected:
  WholeText() {
    write_tiny_model(folder_.path());  // its vocabulary
    write_random_dream(folder_.path(), 260);
    set_template(
        "{% for message in messages %}<{{ message.role }}>{{ message.content }}"
        "{% endfor %}{% if add_generation_prompt %}<answer>{% endif %}");
  }

  void set_template(const std::string& text) {
    write_file_atomically(folder_.file("tokenizer_config.json"),
                          canonical_json({{"chat_template", text}}));
  }

  ProcessResult generate(const Words& more) const {
    Words args = {"generate",  "--model", folder_.path(), "--max-new-tokens", "8", "-o", "jsonl",
                  "--threads", "1"};
    args.insert(args.end(), more.begin(), more.end());
    return dlmbench(args);
  }

  void expect_refused(const Words& more, const std::string& part) const {
    const ProcessResult result = generate(more);
    EXPECT_EQ(result.code, 1) << part;
    EXPECT_EQ(result.out, "") << part;
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  }

  TemporaryFolder folder_;
};

TEST_F(WholeText, ChatGoesThroughTheTemplateOfTheFolder) {
  const ProcessResult chat = generate({"--prompt", "hi", "--chat", "--system", "be brief"});
  ASSERT_EQ(chat.code, 0) << chat.err;
  const ProcessResult plain =
      generate({"--prompt", "<system>be brief<user>hi<answer>", "--published", "none"});
  ASSERT_EQ(plain.code, 0) << plain.err;
  EXPECT_EQ(parse_json(chat.out, "chat")["ids"], parse_json(plain.out, "plain")["ids"]);
  EXPECT_EQ(parse_json(chat.out, "chat")["prompt"], "hi");
}

TEST_F(WholeText, BadInputIsNamed) {
  expect_refused({"--prompt", "a", "--block-size", "3"}, "a divisor of max_new_tokens = 8");
  expect_refused({"--prompt", "a", "--tokens-per-step", "9"}, "at most the block, 8 tokens");
  expect_refused({"--prompt", "a", "--verifier", folder_.path()}, "rerank and verified");
  expect_refused({"--prompt", "a", "--sampler", "rerank"}, "verifier");
  expect_refused({"--prompt", "a", "--system", "b"}, "--chat");
  set_template("{% include 'other' %}");
  expect_refused({"--prompt", "a", "--chat"}, "include");
  std::filesystem::remove(folder_.file("tokenizer_config.json"));
  expect_refused({"--prompt", "a", "--chat"}, "chat_template");
}

TEST_F(WholeText, AShardCutShortIsNamed) {
  const std::string shard = folder_.file("model-00001-of-00001.safetensors");
  std::filesystem::rename(folder_.file("model.safetensors"), shard);
  Json places = Json::object();
  for (const auto& [name, view] : tensors_of(shard))
    places[name] = "model-00001-of-00001.safetensors";
  write_file_atomically(folder_.file("model.safetensors.index.json"),
                        canonical_json({{"weight_map", places}}));
  ASSERT_EQ(generate({"--prompt", "a"}).code, 0);
  std::filesystem::resize_file(shard, std::filesystem::file_size(shard) - 32);
  expect_refused({"--prompt", "a"}, "model-00001-of-00001.safetensors");
}

TEST_F(WholeText, AnAdjustLayerOfAnotherBaseIsNamed) {
  write_random_adjust(folder_.file("layer"), std::string(64, 'b'), 1);
  expect_refused({"--prompt", "a", "--adjust", folder_.file("layer")}, "weights bbbbbbbbbbbbbbbb");
}

TEST_F(WholeText, WeightsLeftInTheFileGiveTheSameText) {
  const ProcessResult packed = generate({"--prompt", "abc"});
  const ProcessResult mapped = generate({"--prompt", "abc", "--linear-backend", "mapped"});
  ASSERT_EQ(packed.code, 0) << packed.err;
  ASSERT_EQ(mapped.code, 0) << mapped.err;
  EXPECT_EQ(parse_json(mapped.out, "mapped")["ids"], parse_json(packed.out, "packed")["ids"]);
}

// Whatever the settings, a run on a task with answers also warms up. Without a block size the
// answer is one block.
TEST_F(WholeText, AnswersATaskAtItsOwnBlockSize) {
  const std::string rows = canonical_json({{"q", "ab"}, {"a", "c"}}) + "\n" +
                           canonical_json({{"q", "b"}, {"a", "d"}}) + "\n";
  write_file_atomically(folder_.file("rows.jsonl"), rows);
  write_file_atomically(
      folder_.file("letters.toml"),
      fmt::format("id = \"letters\"\nversion = 1\nmax_new_tokens = 8\nreference = \"{{{{a}}}}\"\n"
                  "primary = \"one\"\nquestion_field = \"q\"\nstop = []\n[data]\npath = "
                  "\"rows.jsonl\"\nsha256 = \"{}\"\n[prompt]\nquestion = \"{{{{q}}}}=\"\n"
                  "[[extractor]]\nname = \"one\"\npattern = '(?s)^.'\n",
                  sha256_hex(rows)));
  write_tiny_model(folder_.file("llada"));
  write_random_llada(folder_.file("llada"), 260);
  const std::vector<Words> settings = {
      {},
      {"--cache", "false", "--sampler", "maskgit_plus", "--tokens-per-step", "2"},
      {"--sampler", "threshold", "--stale-keys", "dual", "--block-size", "4"},
      {"--sampler", "low_confidence", "--guidance", "2", "--suppress-eos", "last", "--steps", "2"}};
  for (const std::string model : {".", "llada"}) {
    for (const Words& more : settings) {
      Words args = {"run",    "--model", model,       "--task", "task:letters.toml",
                    "--chat", "off",     "--threads", "1",      "-q",
                    "--db",   "r.db"};
      args.insert(args.end(), more.begin(), more.end());
      const ProcessResult result = dlmbench(
          args, {.folder = folder_.path(), .environment = {{"DLMBENCH_DATA", folder_.path()}}});
      EXPECT_EQ(result.code, 0) << model << ": " << result.err;
    }
  }
  const ProcessResult stored = dlmbench(
      {"sql", "select count(*) as n, min(canvas_tok) as least, max(canvas_tok) as most from sample",
       "--db", folder_.file("r.db"), "-o", "csv"});
  EXPECT_EQ(stored.out, "n,least,most\n16,8,8\n");
}

TEST_F(WholeText, LikelihoodRunsWithEveryEstimator) {
  write_file_atomically(folder_.file("text"), "a short text\n");
  for (const std::string name : {"stratified", "llada", "dream", "order", "reference"}) {
    const ProcessResult result = dlmbench({"run", "--db", folder_.file("store"), "--model",
                                           folder_.path(), "--task", "text:" + folder_.file("text"),
                                           "--estimator", name, "-o", "csv", "--threads", "1"});
    EXPECT_EQ(result.code, 0) << name << ": " << result.err;
    EXPECT_NE(result.out.find("nll"), std::string::npos) << result.out;
  }
}

}  // namespace
}  // namespace dlm::testing
