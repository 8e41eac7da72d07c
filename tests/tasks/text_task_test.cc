#include "tasks/text_task.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

// A folder with one file of each kind.
class TextTaskFiles : public ::testing::Test {
 protected:
  TextTaskFiles() {
    write_file_atomically(folder_.file("a.txt"), "one ?\n\ntwo\n--\nthree\n");
    write_file_atomically(folder_.file("a.jsonl"),
                          "{\"text\":\"x\",\"q\":\"y\"}\n{\"text\":\"z\",\"q\":\"w\"}\n");
    write_file_atomically(folder_.file("a.json"), "[{\"text\":\"x\"}]");
    write_file_atomically(folder_.file("a.csv"), "a,b\nc,d\n");
  }

  std::string name(const std::string& kind, const std::string& rest) const {
    return kind + ":" + folder_.file(rest);
  }

  std::vector<std::string> texts(const TextTaskSpec& spec, std::int64_t limit = 0) const {
    std::vector<std::string> found;
    for (const Document& document : make_text_task(spec, "/nowhere").documents(limit))
      found.push_back(document.text);
    return found;
  }

  std::string error_of(const TextTaskSpec& spec) const {
    try {
      make_text_task(spec, "/nowhere");
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  testing::TemporaryFolder folder_;
};

using Texts = std::vector<std::string>;

TEST_F(TextTaskFiles, ReadsEveryKind) {
  EXPECT_EQ(texts({name("text", "a.txt"), "", 0}), (Texts{"one ?\n\ntwo\n--\nthree\n"}));
  EXPECT_EQ(texts({name("text", "a.txt?split=lines"), "", 0}),
            (Texts{"one ?", "two", "--", "three"}));
  EXPECT_EQ(texts({name("text", "a.txt?split=separator&separator=--"), "", 0}),
            (Texts{"one ?\n\ntwo", "three"}));
  EXPECT_EQ(texts({name("jsonl", "a.jsonl"), "", 0}), (Texts{"x", "z"}));
  EXPECT_EQ(texts({name("jsonl", "a.jsonl?field=q"), "", 0}), (Texts{"y", "w"}));
  EXPECT_EQ(texts({name("json", "a.json?field=text"), "", 0}), (Texts{"x"}));
  EXPECT_EQ(texts({name("csv", "a.csv?column=2"), "", 0}), (Texts{"b", "d"}));
  EXPECT_EQ(texts({name("csv", "a.csv?column=2,1"), "", 0}), (Texts{"b a", "d c"}));
}

TEST_F(TextTaskFiles, AppliesTheDetokenizerAndTheLimits) {
  EXPECT_EQ(texts({name("text", "a.txt?split=lines"), "lm1b", 0}),
            (Texts{"one?", "two", "--", "three"}));
  EXPECT_EQ(texts({name("text", "a.txt?split=lines"), "", 2}), (Texts{"one ?", "two"}));
  EXPECT_EQ(texts({name("text", "a.txt?split=lines"), "", 3}, 1), (Texts{"one ?"}));
  EXPECT_EQ(texts({name("text", "a.txt?split=lines"), "", 3}, 99).size(), 3U);
}

TEST_F(TextTaskFiles, InfoNamesDataAndSettings) {
  const TextTask task = make_text_task({name("text", "a.txt?split=lines"), "ptb", 2}, "/nowhere");
  EXPECT_EQ(task.info().name, name("text", "a.txt?split=lines"));
  EXPECT_EQ(task.info().kind, "text");
  EXPECT_EQ(task.info().version, 1);
  EXPECT_EQ(task.info().n_docs, 2);
  EXPECT_EQ(task.info().data_sha256, sha256_hex("one ?\n\ntwo\n--\nthree\n"));
  EXPECT_EQ(task.info().config, R"({"detokenizer":"ptb","reader":"text","split":"lines"})");
  EXPECT_EQ(make_text_task({name("csv", "a.csv?column=2"), "", 0}, "").info().config,
            R"({"detokenizer":"none","fields":["2"],"reader":"csv"})");
}

TEST_F(TextTaskFiles, RefusesUnknownNamesAndOptionsWithTheNearest) {
  EXPECT_EQ(error_of({"lamdada", "", 0}), "task = 'lamdada': unknown; did you mean 'lambada'?");
  EXPECT_EQ(error_of({"jsonk:x", "", 0}), "reader = 'jsonk': unknown; did you mean 'jsonl'?");
  EXPECT_EQ(error_of({name("jsonl", "a.jsonl?feild=q"), "", 0}),
            "task option = 'feild': unknown; did you mean 'field'?");
  EXPECT_EQ(error_of({name("text", "a.txt?split=line"), "", 0}),
            "split = 'line': unknown; did you mean 'lines'?");
  EXPECT_EQ(error_of({"c4", "ptp", 0}), "detokenizer = 'ptp': unknown; did you mean 'ptb'?");
}

TEST_F(TextTaskFiles, RefusesIncompleteSpecs) {
  EXPECT_EQ(error_of({name("csv", "a.csv"), "", 0}),
            "column = '': csv:PATH?column=N names the column that holds the text");
  EXPECT_EQ(error_of({name("text", "a.txt?split=separator"), "", 0}),
            "separator = '': given with split=separator, and only then");
  EXPECT_EQ(error_of({name("text", "a.txt?separator=x"), "", 0}),
            "separator = 'x': given with split=separator, and only then");
  EXPECT_EQ(error_of({name("text", "a.txt?split"), "", 0}), "task option = 'split': split=VALUE");
  EXPECT_EQ(error_of({"text:", "", 0}), "task = 'text:': text:PATH");
  EXPECT_EQ(error_of({"c4", "", -1}), "limit = '-1': 0 (all) or more");
  EXPECT_NE(error_of({name("text", "none.txt"), "", 0}).find("none.txt: expected a readable file"),
            std::string::npos);
  EXPECT_NE(error_of({"c4", "", 0}).find("set DLMBENCH_DATA"), std::string::npos);
}

TEST(TextTaskGolden, NamedSetsUseTheirDetokenizerUnlessToldOtherwise) {
  DLM_REQUIRE_DATA("data/corpora");
  const TextTask standard = make_text_task({"wikitext2", "", 1}, testing::data_root());
  const TextTask raw = make_text_task({"wikitext2", "none", 1}, testing::data_root());
  EXPECT_EQ(standard.info().config,
            R"({"detokenizer":"wikitext","reader":"text","split":"articles"})");
  EXPECT_EQ(standard.info().data_sha256, raw.info().data_sha256);
  EXPECT_NE(raw.documents()[0].text.find(" @-@ "), std::string::npos);
  EXPECT_EQ(standard.documents()[0].text.find(" @-@ "), std::string::npos);
  EXPECT_EQ(standard.documents()[0].id, "000000");
}

}  // namespace
}  // namespace dlm
