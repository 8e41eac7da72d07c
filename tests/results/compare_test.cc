#include "results/compare.h"

#include <cmath>
#include <utility>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "results/batch_times.h"
#include "tests/results/evidence_store.h"
#include "tests/results/expect_error.h"

namespace dlm {
namespace {

using testing::error_of;
using testing::EvidenceStore;
using testing::noise;
using testing::sample_header;

void as_is(std::int64_t, ExampleRow&) {}

// Rows whose times are `factor` of the usual ones.
testing::RowChange times(double factor) {
  return [factor](std::int64_t, ExampleRow& row) {
    row.wall_ns = static_cast<std::int64_t>(static_cast<double>(row.wall_ns) * factor);
  };
}

CompareResult compare(EvidenceStore& evidence, const std::string& a, const std::string& b,
                      const CompareOptions& options = {}) {
  return compare_runs({&evidence.store(), a}, {&evidence.store(), b}, options);
}

const Comparison& of(const CompareResult& result, std::string_view metric) {
  for (const Comparison& comparison : result.comparisons) {
    if (comparison.metric == metric)
      return comparison;
  }
  throw ConfigError("metric", metric, "was not compared");
}

TEST(Compare, TellsWorseBetterAndSame) {
  EvidenceStore evidence;
  const auto base = evidence.add("base", 200, as_is);
  const auto worse = evidence.add("worse", 200, [](std::int64_t i, ExampleRow& row) {
    row.nll += 50 * (0.02 + 0.01 * noise(i, 1));
  });
  const auto near = evidence.add("near", 200, [](std::int64_t i, ExampleRow& row) {
    row.nll += 50 * (0.001 + 0.003 * noise(i, 2));
  });
  const CompareResult result = compare(evidence, base, worse);
  const Comparison& nll = of(result, "nll");
  EXPECT_EQ(nll.verdict, Verdict::kWorse);
  EXPECT_NEAR(nll.difference, 0.02, 0.003);
  EXPECT_LT(nll.interval->low, 0.02);
  EXPECT_GT(nll.interval->high, 0.02);
  EXPECT_CONTAINS(nll.interval_method, "bootstrap");
  EXPECT_CONTAINS(nll.pairing, "same documents; corr 1.0");
  EXPECT_EQ(of(result, "tokens_per_forward").verdict, Verdict::kSame);
  EXPECT_EQ(of(result, "tokens_per_second").verdict, Verdict::kSame);
  EXPECT_EQ(of(compare(evidence, worse, base), "nll").verdict, Verdict::kBetter);
  const CompareResult of_near = compare(evidence, base, near);
  EXPECT_EQ(of(of_near, "nll").verdict, Verdict::kSame);
  EXPECT_CONTAINS(of(of_near, "nll").note, "below the margin");
}

TEST(Compare, AmbiguousSaysHowManyDocumentsWouldDecide) {
  EvidenceStore evidence;
  const auto base = evidence.add("base", 100, as_is);
  const auto noisy = evidence.add(
      "noisy", 100, [](std::int64_t i, ExampleRow& row) { row.nll += 50 * 0.1 * noise(i, 3); });
  const CompareResult result = compare(evidence, base, noisy, {.metrics = {"nll"}});
  ASSERT_EQ(result.comparisons.size(), 1U);
  EXPECT_EQ(result.comparisons[0].verdict, Verdict::kAmbiguous);
  // ((1.645 + 1.282) 0.1 / 0.005)^2, with the sample's own deviation for 0.1.
  EXPECT_NEAR(static_cast<double>(result.comparisons[0].needed), 3426, 1000);
  EXPECT_EQ(verdict_exit_code({Verdict::kSame, Verdict::kAmbiguous}), 4);
}

TEST(Compare, RightAndWrongIsMcNemarUnlessReplicatesMakeClusters) {
  EvidenceStore evidence;
  const auto scored = [](int flip) {
    return
        [flip](std::int64_t i, ExampleRow& row) { row.score = (i % 3 == 0) != (i < flip) ? 1 : 0; };
  };
  const auto base = evidence.add("base", 60, scored(0));
  const auto other = evidence.add("other", 60, scored(15));
  const Comparison score = of(compare(evidence, base, other), "score");
  EXPECT_CONTAINS(score.test, "McNemar");
  EXPECT_CONTAINS(score.note, "5 right only in A, 10 only in B");
  EXPECT_NEAR(score.p.value_or(0), 0.30175781, 1e-7);
  EXPECT_NEAR(score.difference, 5 / 60.0, 1e-12);
  const auto replicates = [](int flip) {
    return [flip](std::int64_t i, ExampleRow& row) {
      row.doc_id = fmt::format("doc-{:03}", i / 2);
      row.doc_sha = "x";
      row.rep = i % 2;
      row.score = (i % 3 == 0) != (i < flip) ? 1 : 0;
    };
  };
  const auto two = evidence.add("two", 60, replicates(0));
  const auto two_other = evidence.add("two other", 60, replicates(15));
  const Comparison clustered = of(compare(evidence, two, two_other), "score");
  EXPECT_EQ(clustered.test, "paired t by cluster");
  EXPECT_EQ(clustered.n, 60);
  EXPECT_EQ(clustered.n_units, 30);
}

// Three answers that are all right say little about a thousand others, unless the program that
// wrote them is known to be the same by the texts.
TEST(Compare, EqualScoresOfOtherTextsAreAsExactAsTheyAreMany) {
  EvidenceStore evidence;
  const auto right = [](const char* text, std::int64_t samples) {
    return [text, samples](std::int64_t i, ExampleRow& row) {
      row.doc_id = fmt::format("doc-{:06}", i / samples);
      row.doc_sha = "x";
      row.rep = i % samples;
      row.score = 1;
      row.output = fmt::format("{} {}", text, i);
    };
  };
  const auto score_of = [&](const std::string& a, const std::string& b) {
    return compare(evidence, a, b, {.metrics = {"score"}}).comparisons.at(0);
  };
  const auto few = evidence.add("few a", 3, right("a", 1));
  const Comparison three = score_of(few, evidence.add("few b", 3, right("b", 1)));
  EXPECT_EQ(three.verdict, Verdict::kAmbiguous);
  // Of 0 in n no more than 1 - tail^(1/n) differ.
  EXPECT_NEAR(three.inner->high, 1 - std::cbrt(0.05), 1e-12);
  EXPECT_NEAR(three.interval->low, std::cbrt(0.025) - 1, 1e-12);
  EXPECT_EQ(three.needed, 299);  // 0.99^298 > 0.05 > 0.99^299
  for (const auto& [documents, verdict] :
       {std::pair{298, Verdict::kAmbiguous}, std::pair{299, Verdict::kSame}}) {
    const auto a = evidence.add(fmt::format("a {}", documents), documents, right("a", 1));
    const auto b = evidence.add(fmt::format("b {}", documents), documents, right("b", 1));
    EXPECT_EQ(score_of(a, b).verdict, verdict) << documents;
  }
  // Two samples of a document are one unit.
  const auto sampled = evidence.add("sampled a", 6, right("a", 2));
  const Comparison clustered = score_of(sampled, evidence.add("sampled b", 6, right("b", 2)));
  EXPECT_EQ(clustered.verdict, Verdict::kAmbiguous);
  EXPECT_NEAR(clustered.inner->high, 1 - std::cbrt(0.05), 1e-12);
  // The same texts of other settings, by luck; and of an unchanged program.
  const auto other = evidence.add("another sampler", 3, right("a", 1));
  EXPECT_EQ(score_of(few, other).verdict, Verdict::kAmbiguous);
  const auto again = evidence.add(sample_header("few a"), 3, right("a", 1), Restart::kFresh);
  const Comparison unchanged = score_of(few, again);
  EXPECT_EQ(unchanged.verdict, Verdict::kSame);
  EXPECT_EQ(unchanged.interval->high, 0);
  const auto changed = evidence.add(sample_header("few a"), 3, right("b", 1), Restart::kFresh);
  EXPECT_EQ(score_of(few, changed).verdict, Verdict::kAmbiguous);
}

TEST(Compare, RefusesUnlikeDataAndSaysHowMuchIsInCommon) {
  EvidenceStore evidence;
  const auto base = evidence.add("base", 40, as_is);
  const auto other = evidence.add("other", 50, [](std::int64_t i, ExampleRow& row) {
    if (i < 3)
      row.doc_sha = "another text";
  });
  const std::string message = error_of<ConfigError>([&] { compare(evidence, base, other); });
  EXPECT_CONTAINS(message, "37 rows in common, 0 only in the first, 10 only in the second, 3 with");
  const CompareResult common = compare(evidence, base, other, {.only_common = true});
  EXPECT_EQ(of(common, "nll").n, 37);
  ASSERT_EQ(common.notes.size(), 1U);
  EXPECT_CONTAINS(common.notes[0], "only the 37 rows");
  const auto foreign = evidence.add(
      "foreign", 5, [](std::int64_t, ExampleRow& row) { row.doc_id = "other " + row.doc_id; });
  EXPECT_TRUE(compare(evidence, base, foreign).comparisons.empty());
}

TEST(Compare, SaysWhetherMaskDrawsAreShared) {
  EvidenceStore evidence;
  const auto estimated = [](std::int64_t, ExampleRow& row) {
    row.n_mc = 4;
    row.nll_m2 = 1;
  };
  const auto header = [](const std::string& name, const std::string& key) {
    RunHeader made = sample_header(name);
    made.identity_json = fmt::format(R"({{"pairing_key":"{}","run":"{}"}})", key, name);
    made.run_key = sha256_hex(made.identity_json);
    return made;
  };
  const auto a = evidence.add(header("a", "k1"), 20, estimated);
  const auto b = evidence.add(header("b", "k1"), 20, estimated);
  const auto c = evidence.add(header("c", "k2"), 20, estimated);
  EXPECT_CONTAINS(of(compare(evidence, a, b), "nll").pairing, "documents and mask draws");
  EXPECT_CONTAINS(of(compare(evidence, a, c), "nll").pairing, "not shared");
}

TEST(Compare, OtherTokensAreComparedByBytes) {
  EvidenceStore evidence;
  const auto base = evidence.add("base", 20, as_is);
  const auto finer =
      evidence.add("finer", 20, [](std::int64_t, ExampleRow& row) { row.tokens = 70; });
  const CompareResult result = compare(evidence, base, finer);
  EXPECT_EQ(of(result, "bits_per_byte").verdict, Verdict::kSame);
  EXPECT_THROW(of(result, "nll"), ConfigError);
  ASSERT_FALSE(result.notes.empty());
  EXPECT_CONTAINS(result.notes[0], "bits_per_byte compares them");
  EXPECT_CONTAINS(
      error_of<ConfigError>([&] { compare(evidence, base, finer, {.metrics = {"nll"}}); }),
      "different tokens");
}

// A run of `name` with one document a batch.
RunHeader one_by_one(const std::string& name) {
  RunHeader header = sample_header(name);
  header.spec_json = R"({"batch_size":1})";
  return header;
}

TEST(Compare, LessSpeedIsWorseUnlessTheMachineIsThatNoisy) {
  EvidenceStore evidence;
  const auto base = evidence.add(one_by_one("base"), 60, as_is);
  const auto slow = evidence.add(one_by_one("slow"), 60, times(1.1));
  CompareOptions speed{.metrics = {"tokens_per_second"}};
  const auto verdict = [&](const std::optional<double>& floor) {
    speed.speed_noise_floor = floor;
    return of(compare(evidence, base, slow, speed), "tokens_per_second");
  };
  const Comparison slower = verdict(0.05);
  EXPECT_EQ(slower.verdict, Verdict::kWorse);
  EXPECT_NEAR(slower.difference, 1 / 1.1 - 1, 1e-3);
  const Comparison hidden = verdict(0.15);
  EXPECT_EQ(hidden.verdict, Verdict::kSame);
  EXPECT_CONTAINS(hidden.note, "noise floor");
  // Two runs alone do not tell a slower program from a machine that was busy.
  const Comparison unknown = verdict({});
  EXPECT_EQ(unknown.verdict, Verdict::kAmbiguous);
  EXPECT_CONTAINS(unknown.note, "repeat both");
  EXPECT_EQ(unknown.pairing, "times of documents");
}

// Rows as a run with batches of 10 writes them: the batch's time shared out by passes.
testing::RowChange in_batches(double factor, std::uint64_t stream) {
  return [=](std::int64_t i, ExampleRow& row) {
    row.canvas_tokens = 64;
    row.kept_tokens = 40 + i % 7;
    row.counts.passes = 20 + i % 3;
    const double of_a_pass = factor * 1e5 * (1 + 0.03 * noise(i / 10, stream));
    row.wall_ns = static_cast<std::int64_t>(of_a_pass * static_cast<double>(row.counts.passes + 1));
  };
}

TEST(Compare, RowsOfABatchWereTimedOnce) {
  EvidenceStore evidence;
  const auto a = evidence.add("a", 50, in_batches(1, 41));
  const auto b = evidence.add("b", 50, in_batches(1, 42));
  std::vector<BatchTime> batches = batch_times(evidence.store(), a);
  ASSERT_EQ(batches.size(), 5U);
  double ns = 0;
  for (const BatchTime& batch : batches) {
    EXPECT_EQ(batch.rows, 10);
    ns += batch.ns;
  }
  double of_rows = 0;
  for (const ExampleRow& row : evidence.store().rows(a))
    of_rows += static_cast<double>(row.wall_ns);
  EXPECT_EQ(ns, of_rows);
  CompareOptions speed{.metrics = {"tokens_per_second"}};
  speed.speed_noise_floor = 0.01;
  const Comparison same = of(compare(evidence, a, b, speed), "tokens_per_second");
  EXPECT_EQ(same.n_units, 5);
  EXPECT_EQ(same.pairing, "times of batches");
  EXPECT_GT(same.p.value_or(0), 0.05);
  // One batch on each side is one time: nothing is shown by it, not even that it is the same.
  const auto one = evidence.add("one", 10, in_batches(1, 43));
  const auto two = evidence.add("two", 10, in_batches(1, 43));
  EXPECT_EQ(of(compare(evidence, one, two, speed), "tokens_per_second").verdict,
            Verdict::kAmbiguous);
}

TEST(Compare, RatioThatDoesNotFitTheColumnsSaysWhatItIs) {
  EvidenceStore evidence;
  const auto base = evidence.add(one_by_one("base"), 60, as_is);
  // One document in ten takes ten times as long: half of all time, and no median.
  const auto some = evidence.add(one_by_one("some"), 60, [](std::int64_t i, ExampleRow& row) {
    row.wall_ns *= i % 10 == 0 ? 10 : 1;
  });
  const Comparison speed = of(compare(evidence, base, some), "tokens_per_second");
  EXPECT_NEAR(speed.b / speed.a, 1 / 1.9, 1e-3);
  EXPECT_LT(std::abs(speed.difference), 0.01);
  EXPECT_CONTAINS(speed.note,
                  "B-A is the median ratio of the times of documents; of all time "
                  "together -47.3");
}

TEST(Compare, RepeatedRunsTellWhichIsFaster) {
  EvidenceStore evidence;
  const auto repeat = [&](const char* name, double factor, int count, std::uint64_t stream) {
    std::string last;
    for (int i = 0; i < count; ++i)
      last = evidence.add(sample_header(name), 20, times(factor * (1 + 0.01 * noise(i, stream))),
                          Restart::kFresh);
    return last;
  };
  const auto speed_of = [&](const std::string& a, const std::string& b) {
    return of(compare(evidence, a, b), "tokens_per_second");
  };
  const auto base = repeat("base", 1, 5, 44);
  const Comparison slower = speed_of(base, repeat("slow", 1.2, 5, 45));
  EXPECT_EQ(slower.verdict, Verdict::kWorse);
  EXPECT_EQ(slower.pairing, "repeated runs");
  EXPECT_EQ(slower.n_units, 5);
  // The same program again: the runs up to A against those after it, none on both sides.
  const Comparison later = speed_of(base, repeat("base", 1.2, 5, 46));
  EXPECT_EQ(later.n, 10);
  EXPECT_EQ(later.verdict, Verdict::kWorse);
  // Repeats of a benchmark decide by themselves.
  const auto bench = [&](const char* name, double factor) {
    RunHeader header = sample_header(name);
    header.task_name = header.task_kind = "bench";
    return evidence.add(header, 10, times(factor));
  };
  const Comparison faster = speed_of(bench("k1", 1), bench("k4", 0.5));
  EXPECT_EQ(faster.verdict, Verdict::kBetter);
  EXPECT_EQ(faster.pairing, "repeats of the run");
}

TEST(Compare, ListsTheSettingsThatDiffer) {
  EvidenceStore evidence;
  RunHeader other = sample_header("other");
  other.spec_json = R"({"sampler":{"block_size":8,"name":"ancestral"},"seed":7})";
  const auto a = evidence.add("base", 10, as_is);
  const auto b = evidence.add(other, 10, as_is);
  const CompareResult result = compare(evidence, a, b);
  ASSERT_EQ(result.differing.size(), 1U);
  EXPECT_EQ(result.differing.begin()->first, "sampler.block_size");
  const std::string md = render(comparison_tables(result), "md");
  EXPECT_CONTAINS(md, "| sampler.block_size | 4   | 8   |");
  EXPECT_CONTAINS(md, "| nll ");
}

TEST(Compare, MarginsAreNumbersOrPercentages) {
  EXPECT_DOUBLE_EQ(parse_margin("margin", "3%").value, 0.03);
  EXPECT_TRUE(parse_margin("margin", "3%").relative);
  EXPECT_FALSE(parse_margin("margin", "0.5").relative);
  for (const char* text : {"", "%", "-1", "0", "x", "1e999", "nan"})
    EXPECT_THROW(parse_margin("margin", text), ConfigError) << text;
  EXPECT_CONTAINS(error_of<ConfigError>([] { better_direction("scores"); }), "'score'");
}

TEST(Compare, TextMetricsAreComparedByTheRunsOwnErrors) {
  EvidenceStore evidence;
  const std::string a = evidence.add("a", 100, as_is), b = evidence.add("b", 100, as_is);
  evidence.estimate(a, "mauve", 0.9, 0.03);
  evidence.estimate(b, "mauve", 0.7, 0.04);
  const CompareResult result = compare(evidence, a, b);
  const Comparison& mauve = of(result, "mauve");
  EXPECT_NEAR(mauve.difference, -0.2, 1e-12);
  EXPECT_NEAR(mauve.std_error.value_or(0), 0.05, 1e-12);
  // t of 99 degrees: 1.9842169515086827 (scipy.stats.t.ppf(0.975, 99)).
  EXPECT_NEAR(mauve.interval->low, -0.2 - 0.05 * 1.9842169515086827, 1e-9);
  EXPECT_EQ(mauve.verdict, Verdict::kWorse);
  CompareOptions gate;
  gate.stored_estimates = false;
  EXPECT_THROW(of(compare(evidence, a, b, gate), "mauve"), ConfigError);
}

TEST(Compare, EqualTextMetricsAreTheSameHoweverWideTheirErrors) {
  EvidenceStore evidence;
  const std::string a = evidence.add("a", 20, as_is), b = evidence.add("b", 20, as_is);
  evidence.estimate(a, "mauve", 0.9, 0.3);
  evidence.estimate(b, "mauve", 0.9, 0.3);
  CompareOptions options;
  options.metrics = {"mauve"};
  const CompareResult result =
      compare_runs({&evidence.store(), a}, {&evidence.store(), b}, options);
  ASSERT_EQ(result.comparisons.size(), 1U);
  EXPECT_EQ(result.comparisons[0].verdict, Verdict::kSame);
}

}  // namespace
}  // namespace dlm
