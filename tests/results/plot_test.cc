#include "results/plot.h"

#include <cstdlib>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "results/pareto.h"
#include "results/plot_data.h"
#include "tests/results/evidence_store.h"
#include "tests/results/expect_error.h"

namespace dlm {
namespace {

using testing::error_of;
using testing::EvidenceStore;

TEST(Pareto, FrontHoldsWhatNothingBeats) {
  const std::vector<TradeOff> points = {
      {10, 0.9, 0, 0}, {20, 0.8, 0, 0}, {15, 0.7, 0, 0}, {30, 0.5, 0, 0}, {20, 0.8, 0, 0}};
  EXPECT_EQ(pareto_front(points), (std::vector<std::size_t>{0, 1, 3}));
  // 10 x 0.9 + 10 x 0.8 + 10 x 0.5, and the same above 0.6.
  EXPECT_DOUBLE_EQ(area_under_front(points, 0), 22);
  EXPECT_NEAR(area_under_front(points, 0.6), 10 * 0.3 + 10 * 0.2, 1e-12);
  EXPECT_TRUE(pareto_front({}).empty());
}

TEST(Pareto, AreaOfOnePointHasTheIntervalOfItsProduct) {
  const std::vector<TradeOff> exact = {{10, 2, 0, 0}};
  const Interval none = area_interval(exact, 0, 50, 1);
  EXPECT_DOUBLE_EQ(none.low, 20);
  EXPECT_DOUBLE_EQ(none.high, 20);
  const std::vector<TradeOff> noisy = {{10, 2, 0, 0.1}};
  const Interval interval = area_interval(noisy, 0, 20000, 1);
  EXPECT_NEAR(interval.low, 20 - 1.96, 0.05);
  EXPECT_NEAR(interval.high, 20 + 1.96, 0.05);
  EXPECT_THROW(area_interval({}, 0, 10, 1), ConfigError);
}

Plot sample_plot() {
  Plot plot;
  plot.title = "it's `id` @x";
  plot.x_label = "x";
  plot.y_label = "y\nset output '/tmp/elsewhere'";
  plot.series.push_back(
      {"one'; system('touch /tmp/x')", {{1, 2, {}, Interval{1.5, 2.5}, "p"}, {2, 3, {}, {}, ""}}});
  plot.series.push_back({"two", {{1, 1, Interval{0.9, 1.1}, {}, ""}}, SeriesStyle::kPoints});
  return plot;
}

TEST(Plot, NamesAreQuotedSoThatNothingInThemRuns) {
  const std::string script = plot_script(sample_plot(), "a.dat", "b.svg");
  EXPECT_CONTAINS(script, "'it''s `id` @x'");
  EXPECT_CONTAINS(script, "'y set output ''/tmp/elsewhere'''");
  EXPECT_CONTAINS(script, "title 'one''; system(''touch /tmp/x'')'");
  EXPECT_EQ(script.find("\nset output '/tmp"), std::string::npos);
}

TEST(Plot, SeriesDifferInMarkerAndDashNotColourAlone) {
  Plot plot = sample_plot();
  plot.series[1].style = SeriesStyle::kLine;
  const std::string script = plot_script(plot, "a.dat", "b.png");
  EXPECT_CONTAINS(script, "dt 1 lc rgb '#0072B2' pt 7");
  EXPECT_CONTAINS(script, "dt 2 lc rgb '#D55E00' pt 5");
}

TEST(Plot, WritesThePictureWithScriptAndDataBesideIt) {
  const testing::TemporaryFolder folder;
  for (const char* name : {"a.svg", "b.png", "c.pdf"}) {
    write_plot(sample_plot(), folder.file(name));
    EXPECT_GT(MappedFile::open(folder.file(name))->text().size(), 1000U) << name;
  }
  EXPECT_CONTAINS(std::string(MappedFile::open(folder.file("a.dat"))->text()), "1 1 1 2 1.5 2.5");
  EXPECT_TRUE(file_exists(folder.file("a.gp")));
  EXPECT_CONTAINS(error_of<ConfigError>([&] { write_plot(sample_plot(), folder.file("d.jpg")); }),
                  ".svg, .png or .pdf");
  EXPECT_CONTAINS(plot_svg(sample_plot()), "<svg");
}

TEST(Plot, WithoutGnuplotScriptAndDataAreThereAndOneLineSaysSo) {
  const testing::TemporaryFolder folder;
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", "/nonexistent", 1);
  const std::string message =
      error_of<DataError>([&] { write_plot(sample_plot(), folder.file("a.svg")); });
  ::setenv("PATH", path.c_str(), 1);
  EXPECT_CONTAINS(message, "gnuplot");
  EXPECT_EQ(message.find('\n'), std::string::npos);
  EXPECT_TRUE(file_exists(folder.file("a.dat")));
  EXPECT_TRUE(file_exists(folder.file("a.gp")));
  EXPECT_FALSE(file_exists(folder.file("a.svg")));
}

RunHeader with_step(int k) {
  RunHeader header = testing::sample_header(fmt::format("k{}", k));
  header.spec_json =
      fmt::format(R"({{"sampler":{{"block_size":4,"name":"adjust","tokens_per_step":{}}}}})", k);
  return header;
}

TEST(PlotData, DrawsTheFrontierWithIntervalsAndItsArea) {
  EvidenceStore evidence;
  std::vector<std::string> runs;
  for (int k = 1; k <= 3; ++k) {
    runs.push_back(evidence.add(with_step(k), 30, [k](std::int64_t i, ExampleRow& row) {
      row.wall_ns = (1000000 + 1000 * i) / k;
    }));
    evidence.estimate(runs.back(), "exact_match", 0.9 - 0.1 * k, 0.02);
  }
  const Plot plot = make_plot(evidence.store(), runs, {"frontier", "exact_match", ""});
  ASSERT_EQ(plot.series.size(), 2U);
  EXPECT_EQ(plot.series[0].name, "tiny, adjust");
  ASSERT_EQ(plot.series[0].points.size(), 3U);
  EXPECT_TRUE(plot.series[0].points[0].x_interval.has_value());
  EXPECT_TRUE(plot.series[0].points[0].y_interval.has_value());
  EXPECT_EQ(plot.series[0].points[2].label, "K=3");
  EXPECT_EQ(plot.series[1].points.size(), 6U);  // from the slowest system on
  EXPECT_CONTAINS(plot.notes.at(0), "area under the front");
  const Plot mauve = make_plot(evidence.store(), runs, {"mauve", "exact_match", ""});
  EXPECT_EQ(mauve.series.at(0).points.at(2).x, 3);
}

TEST(PlotData, FrontierSaysTheBlockSizeOfASeriesOnce) {
  EvidenceStore evidence;
  std::vector<std::string> runs;
  for (const auto& [model, block] :
       std::vector<std::pair<std::string, int>>{{"one", 4}, {"one", 4}, {"two", 16}}) {
    RunHeader header = with_step(static_cast<int>(runs.size()) + 1);
    header.model_name = model;
    const std::string at = R"("block_size":)";
    const auto place = header.spec_json.find(at) + at.size();
    ASSERT_GT(place, at.size()) << header.spec_json;
    header.spec_json.replace(place, header.spec_json.find_first_of(",}", place) - place,
                             fmt::format("{}", block));
    runs.push_back(evidence.add(header, 30, [](std::int64_t, ExampleRow&) {}));
    evidence.estimate(runs.back(), "exact_match", 0.9 - 0.1 * block, 0.02);
  }
  const Plot plot = make_plot(evidence.store(), runs, {"frontier", "exact_match", ""});
  ASSERT_EQ(plot.series.size(), 3U);
  EXPECT_TRUE(plot.series[0].name.ends_with(", L'=4")) << plot.series[0].name;
  EXPECT_TRUE(plot.series[1].name.ends_with(", L'=16")) << plot.series[1].name;
  EXPECT_EQ(plot.series[0].points.at(1).label, "K=2");
}

// Two runs of one model on two texts, at the same L'.
std::vector<std::string> two_tasks(EvidenceStore& evidence) {
  std::vector<std::string> runs;
  for (const char* task : {"corpus", "code"}) {
    RunHeader header = testing::sample_header(task);
    header.task_name = task;
    runs.push_back(evidence.add(header, 30, [](std::int64_t, ExampleRow&) {}));
    evidence.estimate(runs.back(), "perplexity", runs.size() == 1 ? 4 : 32403, 0.1);
  }
  return runs;
}

TEST(PlotData, RunsOfSeveralTasksShareNoSeries) {
  EvidenceStore evidence;
  const auto runs = two_tasks(evidence);
  for (const char* kind : {"perplexity", "history"}) {
    const Plot plot = make_plot(evidence.store(), runs, {kind, "perplexity", ""});
    ASSERT_EQ(plot.series.size(), 2U) << kind;
    EXPECT_CONTAINS(plot.series[0].name, "tiny on corpus");
    EXPECT_CONTAINS(plot.series[1].name, "tiny on code");
  }
  const std::vector<std::string> one = {runs[0]};
  EXPECT_EQ(make_plot(evidence.store(), one, {"perplexity", "", ""}).series.at(0).name,
            "tiny, ancestral");
}

TEST(PlotData, AFrontierIsOfOneTask) {
  EvidenceStore evidence;
  const auto runs = two_tasks(evidence);
  EXPECT_CONTAINS(error_of<ConfigError>([&] {
                    make_plot(evidence.store(), runs, {"frontier", "perplexity", ""});
                  }),
                  "code; corpus");
  EXPECT_NO_THROW(
      make_plot(evidence.store(), std::span(runs).first(1), {"frontier", "perplexity", ""}));
}

// What goes from left to right has blocks of one token, whatever a run says.
TEST(PlotData, AnExactLikelihoodIsDrawnAtOneTokenABlock) {
  EvidenceStore evidence;
  RunHeader header = testing::sample_header("exact");
  header.spec_json = R"({"block_size":7,"estimator":{"estimator":"auto"}})";
  const std::vector<std::string> runs = {
      evidence.add(header, 30, [](std::int64_t, ExampleRow&) {})};
  evidence.estimate(runs[0], "nll", 1.3, 0.1);
  evidence.estimate(runs[0], "perplexity", 4, 0.1);
  const Plot plot = make_plot(evidence.store(), runs, {"perplexity", "", ""});
  EXPECT_EQ(plot.series.at(0).points.at(0).x, 1);
}

TEST(PlotData, SaysWhatIsMissing) {
  EvidenceStore evidence;
  const auto run = evidence.add("a", 3, [](std::int64_t, ExampleRow&) {});
  evidence.estimate(run, "nll", 3, 0.1);
  const std::vector<std::string> runs = {run};
  EXPECT_CONTAINS(error_of<ConfigError>([&] {
                    make_plot(evidence.store(), runs, {"mauve", "", ""});
                  }),
                  "their metrics are nll");
  EXPECT_CONTAINS(error_of<ConfigError>([&] {
                    make_plot(evidence.store(), runs, {"fronteir", "", ""});
                  }),
                  "did you mean 'frontier'");
}

TEST(PlotData, VarianceComesFromTheRows) {
  EvidenceStore evidence;
  const auto run = evidence.add(with_step(2), 40, [](std::int64_t, ExampleRow& row) {
    row.n_mc = 5;
    row.nll_m2 = 8;  // a variance of 2 on 50 tokens
  });
  const std::vector<std::string> runs = {run};
  const Plot plot = make_plot(evidence.store(), runs, {"variance", "", "tokens_per_step"});
  EXPECT_DOUBLE_EQ(plot.series.at(0).points.at(0).y, 2.0 / 50);
}

}  // namespace
}  // namespace dlm
