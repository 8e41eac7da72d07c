#include "results/html_report.h"

#include <algorithm>
#include <cstdlib>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "results/html.h"
#include "tests/results/evidence_store.h"
#include "tests/results/expect_error.h"

namespace dlm {
namespace {

using testing::EvidenceStore;

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

TEST(Html, EscapesWhatCouldBeMarkup) {
  EXPECT_EQ(html_text("a<b & \"c\" 'd'>"), "a&lt;b &amp; &quot;c&quot; &#39;d&#39;&gt;");
  EXPECT_EQ(html_text("\x1b[31m\xff\n"), "\uFFFD[31m\uFFFD\n");
  // RFC 4648 form of the digest that `printf abc | sha256sum` gives.
  EXPECT_EQ(csp_hash("abc"), "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
}

// Two runs of generated text, hostile in every name and output.
std::string hostile_report(EvidenceStore& evidence) {
  const std::string evil = "</pre><script>alert(1)</script><img src=x onerror=alert(2)>";
  std::vector<std::string> runs;
  for (int k = 1; k <= 2; ++k) {
    RunHeader header = testing::sample_header(fmt::format("k{}", k));
    header.model_name = "model \"" + evil;
    header.task_name = evil;
    header.command = "dlmbench run --model '" + evil + "'";
    header.spec_json = fmt::format(R"({{"sampler":{{"name":"a<b","tokens_per_step":{}}}}})", k);
    runs.push_back(evidence.add(header, 4, [&](std::int64_t i, ExampleRow& row) {
      row.output = fmt::format("{} {} \xff\x01", evil, i);
      row.score = i % 2 == 0 ? 1.0 : 0.0;
    }));
    evidence.estimate(runs.back(), "mauve", 0.5 + 0.1 * k, 0.05);
  }
  ReportOptions options;
  options.title = evil;
  return html_report(evidence.store(), runs, options).html;
}

TEST(HtmlReport, HasEverySectionAndNeedsNothingElse) {
  EvidenceStore evidence;
  const std::string html = hostile_report(evidence);
  for (const char* id : {"runs", "results", "differences", "plots", "samples", "settings"}) {
    EXPECT_CONTAINS(html, fmt::format("<h2 id=\"{}\"", id));
    EXPECT_CONTAINS(html, fmt::format("<a href=\"#{}\">", id));
  }
  EXPECT_GE(count(html, "<svg"), 1U);
  for (const char* outside : {"src=\"http", "href=\"http", "url(", "@import", "<iframe", "<object"})
    EXPECT_EQ(count(html, outside), 0U) << outside;
  EXPECT_CONTAINS(html, "default-src 'none'");
  EXPECT_CONTAINS(html, "name=\"viewport\"");
}

TEST(HtmlReport, HostileTextStaysText) {
  EvidenceStore evidence;
  const std::string html = hostile_report(evidence);
  EXPECT_EQ(count(html, "<script"), 1U);
  EXPECT_EQ(count(html, "<img"), 0U);
  EXPECT_GE(count(html, "&lt;script&gt;alert(1)"), 8U);
  // Its own script is the one that the policy names.
  const auto from = html.find("<script>") + 8;
  const std::string script = html.substr(from, html.find("</script>") - from);
  EXPECT_CONTAINS(html, csp_hash(script));
}

TEST(HtmlReport, TagsAreBalanced) {
  EvidenceStore evidence;
  const std::string html = hostile_report(evidence);
  for (const char* tag : {"table", "tr", "td", "div", "details", "pre", "figure", "svg", "h3"}) {
    EXPECT_EQ(count(html, fmt::format("<{}>", tag)) + count(html, fmt::format("<{} ", tag)) +
                  count(html, fmt::format("<{}\n", tag)),
              count(html, fmt::format("</{}>", tag)))
        << tag;
  }
}

TEST(HtmlReport, WithoutGnuplotTheTablesAreThere) {
  EvidenceStore evidence;
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", "/nonexistent", 1);
  const std::string html = hostile_report(evidence);
  ::setenv("PATH", path.c_str(), 1);
  EXPECT_CONTAINS(html, "No plots: gnuplot");
  EXPECT_CONTAINS(html, "<h2 id=\"results\"");
  EXPECT_THROW(html_report(evidence.store(), {}, {}), ConfigError);
}

}  // namespace
}  // namespace dlm
