#include "tasks/datasets.h"

#include <filesystem>
#include <map>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "tasks/detokenizer.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

TEST(Datasets, EveryRowIsComplete) {
  std::set<std::string> names;
  for (const NamedDataset& dataset : named_datasets()) {
    EXPECT_TRUE(names.insert(dataset.name).second) << dataset.name;
    EXPECT_EQ(dataset.sha256.size(), 64U) << dataset.name;
    EXPECT_FALSE(dataset.about.empty() || dataset.licence.empty() || dataset.source.empty());
    EXPECT_NO_THROW(find_detokenizer(dataset.detokenizer));
    EXPECT_EQ(&find_dataset(dataset.name), &dataset);
  }
  EXPECT_EQ(names.size(), 12U);
}

TEST(Datasets, RefuseAnUnknownNameWithTheNearest) {
  try {
    find_dataset("wikitext3");
    FAIL() << "no error";
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(), "task = 'wikitext3': unknown; did you mean 'wikitext2'?");
  }
}

TEST(Datasets, SayWhatToSetWhereTheFileIsAbsent) {
  try {
    locate_dataset(find_dataset("c4"), "/nowhere");
    FAIL() << "no error";
  } catch (const DataError& error) {
    EXPECT_STREQ(
        error.what(),
        "/nowhere/data/corpora/c4_demo/c4_demo.json: expected the data set 'c4'; set "
        "DLMBENCH_DATA to the folder that holds data/corpora/c4_demo/c4_demo.json, found no "
        "such file");
  }
}

TEST(Datasets, RefuseAFileWithAnotherContent) {
  const testing::TemporaryFolder folder;
  NamedDataset dataset = find_dataset("ptb");
  dataset.path = "changed.txt";
  write_file_atomically(folder.file("changed.txt"), "changed\n");
  try {
    locate_dataset(dataset, folder.path());
    FAIL() << "no error";
  } catch (const DataError& error) {
    const std::string what = error.what();
    EXPECT_NE(what.find("expected SHA-256 " + dataset.sha256), std::string::npos) << what;
    EXPECT_NE(what.find("found " + sha256_hex("changed\n")), std::string::npos) << what;
  }
}

TEST(DatasetsGolden, HaveTheirNumberOfDocuments) {
  DLM_REQUIRE_DATA("data/corpora");
  const std::map<std::string, std::size_t> kDocuments{{"wikitext2", 60},
                                                      {"wikitext2_valid", 60},
                                                      {"ptb", 3370},
                                                      {"lambada", 5153},
                                                      {"ag_news", 7600},
                                                      {"tinyshakespeare", 7222},
                                                      {"c4", 300},
                                                      {"wiki", 30},
                                                      {"tinystories", 5},
                                                      {"gsm8k_questions", 1319},
                                                      {"wikitext2_valid_rows", 3760},
                                                      {"ptb_rows", 3370}};
  for (const NamedDataset& dataset : named_datasets()) {
    const std::string path = locate_dataset(dataset, testing::data_root());
    const auto documents = read_corpus(path, dataset.format);
    EXPECT_EQ(documents.size(), kDocuments.at(dataset.name)) << dataset.name;
    std::set<std::string> ids;
    for (const Document& document : documents)
      EXPECT_TRUE(ids.insert(document.id).second) << dataset.name << " " << document.id;
  }
}

TEST(DatasetsGolden, ArticlesAndSpeechesJoinToTheFile) {
  DLM_REQUIRE_DATA("data/corpora");
  for (const char* name : {"wikitext2", "wikitext2_valid", "tinyshakespeare"}) {
    const NamedDataset& dataset = find_dataset(name);
    const std::string path = locate_dataset(dataset, testing::data_root());
    std::string joined;
    for (const Document& document : read_corpus(path, dataset.format)) joined += document.text;
    EXPECT_EQ(sha256_hex(joined), dataset.sha256) << name;
  }
}

TEST(DatasetsGolden, RowsAreOneForEveryLineOfTheFile) {
  DLM_REQUIRE_DATA("data/corpora");
  const auto rows_of = [](const char* name) {
    const NamedDataset& dataset = find_dataset(name);
    return read_corpus(locate_dataset(dataset, testing::data_root()), dataset.format);
  };
  const auto wikitext = rows_of("wikitext2_valid_rows");
  EXPECT_EQ(wikitext[0].text, "");
  EXPECT_EQ(wikitext[1].text, " = Homarus gammarus = \n");
  EXPECT_EQ(rows_of("ptb_rows")[2].text,
            "two weeks ago viewers of several nbc <unk> consumer segments started calling a N "
            "number for advice on various <unk> issues");
}

TEST(DatasetsGolden, AgNewsJoinsTitleAndDescription) {
  DLM_REQUIRE_DATA("data/corpora/ag_news");
  const NamedDataset& dataset = find_dataset("ag_news");
  const auto documents = read_corpus(locate_dataset(dataset, testing::data_root()), dataset.format);
  EXPECT_EQ(documents[0].text,
            "Fears for T N pension after talks Unions representing workers at Turner   Newall say "
            "they are 'disappointed' after talks with stricken parent firm Federal Mogul.");
  EXPECT_NE(documents[1].text.find("A second\\team of rocketeers"), std::string::npos);
}

// Expected: the texts as Python's csv and json modules and str.split give them, joined by NUL.
TEST(DatasetsGolden, TextsAreThoseOfPythonsReaders) {
  DLM_REQUIRE_DATA("data/corpora");
  const std::map<std::string, std::string> kSums{
      {"ag_news", "e8056e571595fcd2e5ecafbfcb284a4828d006c4e9ce719db89b1e0326ebc4dc"},
      {"lambada", "086d05ab828fe5e34f84fcbafae3279fb5bed54a2933292f0da30df6c4150ac8"},
      {"c4", "6ef568d28aeb0c34380b520b7fed73a88ca036ee7e20b6ed61095122e73a778d"},
      {"gsm8k_questions", "38cd34aab6890cfe8971c5592e75a6117fcbaad060809932c29d588833af945f"},
      {"ptb", "d79b146f2b10f63666461207b06c7e40e29d24666a44d2122aa9aa9dd2bfc282"},
      {"tinystories", "086d11b90fbebd2590d2e1820615232cfbaf2d29e2b4594f75df4597c6a6ecc1"}};
  for (const auto& [name, sum] : kSums) {
    const NamedDataset& dataset = find_dataset(name);
    std::string joined;
    for (const Document& document :
         read_corpus(locate_dataset(dataset, testing::data_root()), dataset.format)) {
      joined += document.text;
      joined.push_back('\0');
    }
    joined.pop_back();
    EXPECT_EQ(sha256_hex(joined), sum) << name;
  }
}

}  // namespace
}  // namespace dlm
