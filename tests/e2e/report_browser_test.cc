// The report as a browser shows it, at the widths of a phone and of a desk.
#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/file.h"
#include "tests/support/data.h"
#include "tests/support/process.h"

namespace dlm::testing {
namespace {

// A page that holds the report in two frames, sorts a table in each, goes back to the first pass of
// a text and through its tokens, and writes down what it sees.
constexpr const char* kFrames = R"(<!doctype html><body>
<iframe src="report.html" width="360" height="800"></iframe>
<iframe src="report.html" width="1280" height="800"></iframe>
<pre id="seen"></pre>
<script>
onload = () => {
  const seen = [];
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument;
    const button = page.querySelector("th button");
    button.click();
    for (const details of page.querySelectorAll("details")) details.open = true;
    const text = page.querySelector("pre.reveal"), bar = text.previousElementSibling;
    const slider = bar.querySelector("input"), told = bar.querySelector("output");
    slider.value = 1;
    slider.dispatchEvent(new Event("input"));
    const first = told.textContent, hidden = text.querySelectorAll(".later").length;
    slider.value = slider.max;
    slider.dispatchEvent(new Event("input"));
    const view = frame.contentWindow;
    text.dispatchEvent(new view.KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true}));
    text.dispatchEvent(new view.KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true}));
    const token = text.querySelector(".here");
    const named = told.textContent === `“${token.textContent}”: pass ${token.dataset.p} of 8`;
    const width = page.documentElement.scrollWidth;
    seen.push("width " + frame.width + (width <= frame.width ? " fits" : " needs " + width) +
              ", sorted " + button.parentElement.getAttribute("aria-sort") + ", " + first + ", " +
              hidden + " hidden, then " + text.querySelectorAll(".later").length +
              (named && token === text.querySelectorAll("span")[1] ? ", named" : ", not named"));
  }
  document.getElementById("seen").textContent = seen.join("; ");
};
</script></body>)";

std::string browser() {
  for (const char* path : {"/usr/bin/chromium", "/usr/bin/chromium-browser",
                           "/usr/bin/google-chrome", "/usr/bin/google-chrome-stable"}) {
    if (std::filesystem::exists(path))
      return path;
  }
  return "";
}

// Chromium's word for a line that a page, or its content policy, put on the console.
int console_lines(const std::string& log) {
  int lines = 0;
  for (std::size_t at = log.find(":CONSOLE"); at != std::string::npos;
       at = log.find(":CONSOLE", at + 1))
    ++lines;
  return lines;
}

class ReportInBrowser : public ::testing::Test {
 protected:
  void SetUp() override {
    if (browser().empty())
      GTEST_SKIP() << "no Chromium here: install the package chromium to run this test";
    if (const ProcessResult blank = show("about:blank"); blank.code != 0)
      GTEST_SKIP() << "Chromium does not start here: " << blank.err;
  }

  ProcessResult show(const std::string& address) const {
    return run_process({browser(), "--headless", "--no-sandbox", "--disable-gpu",
                        "--disable-dev-shm-usage", "--allow-file-access-from-files",
                        "--enable-logging=stderr", "--user-data-dir=" + folder_.file("profile"),
                        "--virtual-time-budget=5000", "--dump-dom", address});
  }

  TemporaryFolder folder_;
};

TEST_F(ReportInBrowser, FitsPhoneAndDeskWithoutConsoleErrors) {
  const std::string db = folder_.file("r.db");
  for (const char* world : {"exact:markov?v=4&seed=1", "exact:markov?v=4&seed=2"}) {
    const ProcessResult run = dlmbench(
        {"run", "--model", world, "--task", "draws:markov?v=4&seed=1&documents=20&length=16",
         "--estimator", "stratified", "--block-size", "1,4", "--db", db, "-q"});
    ASSERT_EQ(run.code, 0) << run.err;
  }
  const ProcessResult written =
      dlmbench({"run", "--model", "exact:markov?v=4&seed=1", "--task",
                "samples:documents=3&length=16", "--metrics", "text_statistics", "--sampler",
                "confidence", "--tokens-per-step", "2,4", "--block-size", "16", "--db", db, "-q"});
  ASSERT_EQ(written.code, 0) << written.err;
  ASSERT_EQ(dlmbench({"report", "--to", folder_.file("report.html"), "--db", db}).code, 0);
  write_file_atomically(folder_.file("frames.html"), kFrames);
  const ProcessResult seen = show("file://" + folder_.file("frames.html"));
  ASSERT_EQ(seen.code, 0) << seen.err;
  for (const char* width : {"360", "1280"}) {
    EXPECT_NE(seen.out.find(std::string("width ") + width +
                            " fits, sorted ascending, pass 1 of 8: 2 of 16 tokens, 14 hidden, then "
                            "0, named"),
              std::string::npos)
        << seen.out.substr(0, 2000);
  }
  EXPECT_EQ(console_lines(seen.err), 0) << seen.err;
}

// What counts console lines would see one.
TEST_F(ReportInBrowser, AConsoleErrorIsSeen) {
  write_file_atomically(folder_.file("bad.html"), "<script>nothing.there()</script>");
  EXPECT_GT(console_lines(show("file://" + folder_.file("bad.html")).err), 0);
}

}  // namespace
}  // namespace dlm::testing
