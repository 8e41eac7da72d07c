#include "tasks/corpus.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

CorpusFormat text_split(DocumentSplit split, std::string separator = "") {
  return {CorpusReader::kText, split, std::move(separator), {}};
}

CorpusFormat fields_of(CorpusReader reader, std::vector<std::string> fields) {
  return {reader, DocumentSplit::kWhole, "", std::move(fields)};
}

// "id=text" of each document.
std::vector<std::string> parsed(std::string_view text, const CorpusFormat& format) {
  std::vector<std::string> found;
  for (const Document& document : parse_corpus(text, "a.txt", format))
    found.push_back(document.id + "=" + document.text);
  return found;
}

std::string error_of(std::string_view text, const CorpusFormat& format) {
  try {
    parse_corpus(text, "a.txt", format);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

using Found = std::vector<std::string>;

TEST(TextCorpus, WholeFileIsOneDocument) {
  EXPECT_EQ(parsed("a\n\nb\n", text_split(DocumentSplit::kWhole)), (Found{"000000=a\n\nb\n"}));
}

TEST(TextCorpus, LinesKeepTheirNumbersWhenBlankOnesAreSkipped) {
  EXPECT_EQ(parsed("one \n\n \t\ntwo\r\nthree", text_split(DocumentSplit::kLines)),
            (Found{"000000=one ", "000003=two", "000004=three"}));
}

TEST(TextCorpus, ArticlesStartAtHeadingsBetweenBlankLines) {
  const std::string text =
      " \n = First = \n \n Text . \n = k = \n more \n \n = = Section = = \n \n \n = Second = \n \n "
      "End "
      ". \n";
  const Found found = parsed(text, text_split(DocumentSplit::kArticles));
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[1], "000001= = Second = \n \n End . \n");
  EXPECT_EQ(found[0].substr(7) + found[1].substr(7), text);
}

TEST(TextCorpus, TextBeforeTheFirstHeadingIsADocumentUnlessBlank) {
  EXPECT_EQ(parsed("Preface\n\n = A = \n\nx\n", text_split(DocumentSplit::kArticles)),
            (Found{"000000=Preface\n\n", "000001= = A = \n\nx\n"}));
}

TEST(TextCorpus, ParagraphsJoinToTheFile) {
  EXPECT_EQ(parsed("\na\nb\n\n \nc\n\n", text_split(DocumentSplit::kParagraphs)),
            (Found{"000000=\na\nb\n\n \n", "000001=c\n\n"}));
}

TEST(TextCorpus, SeparatorLinesDivideDocuments) {
  EXPECT_EQ(parsed("\na\nb\n<|e|>\n\n<|e|>\r\nc <|e|>\n<|e|>",
                   text_split(DocumentSplit::kSeparator, "<|e|>")),
            (Found{"000000=a\nb", "000001=c <|e|>"}));
}

TEST(TextCorpus, RowsAndStrippedLinesAreOneForEveryLine) {
  const std::string text = " a \n \n\nb\r\nc ";
  EXPECT_EQ(parsed(text, text_split(DocumentSplit::kRows)),
            (Found{"000000= a \n", "000001=", "000002=", "000003=b\r\n", "000004=c "}));
  EXPECT_EQ(parsed(text, text_split(DocumentSplit::kStripped)),
            (Found{"000000=a", "000001=", "000002=", "000003=b", "000004=c"}));
}

TEST(TextCorpus, RefusesWhatIsNotText) {
  const CorpusFormat whole = text_split(DocumentSplit::kWhole);
  EXPECT_EQ(error_of("", whole), "a.txt: at byte 0: expected text, found an empty file");
  EXPECT_EQ(error_of(" \n\t\n", whole), "a.txt: at byte 0: expected text, found white space only");
  EXPECT_EQ(error_of("abc\xFF", whole), "a.txt: at byte 3: expected valid UTF-8, found byte 0xff");
  EXPECT_EQ(error_of(std::string_view("ab\0c", 4), whole),
            "a.txt: at byte 2: expected text, found a NUL byte");
  EXPECT_EQ(error_of("no heading\n", text_split(DocumentSplit::kArticles)),
            "a.txt: at byte 0: expected headings of the form ' = Title = ', found none");
  EXPECT_EQ(error_of("<|e|>\n", text_split(DocumentSplit::kSeparator, "<|e|>")),
            "a.txt: at byte 0: expected at least one document, found none");
  EXPECT_EQ(error_of("a", text_split(DocumentSplit::kSeparator)),
            "separator = '': the text of a separator line");
}

TEST(TextCorpus, RefusesALineOf50MegabytesAtOnce) {
  const std::string text = "short\n" + std::string(50'000'000, 'x') + "\n";
  const std::string expected =
      "a.txt: at byte 6: expected lines of at most 16000000 bytes, found line 2 of 50000000 bytes";
  EXPECT_EQ(error_of(text, text_split(DocumentSplit::kWhole)), expected);
  EXPECT_EQ(error_of(text, fields_of(CorpusReader::kJsonLines, {"text"})), expected);
  EXPECT_EQ(error_of(text, fields_of(CorpusReader::kCsv, {"1"})), expected);
  EXPECT_EQ(error_of("[{\"text\":\"" + std::string(50'000'000, 'x') + "\"}]",
                     fields_of(CorpusReader::kJsonArray, {"text"})),
            "a.txt: element 0: expected a text of at most 16000000 bytes, found 50000000 bytes");
}

TEST(JsonLinesCorpus, TakesTheFieldsOfEachLine) {
  EXPECT_EQ(parsed("{\"a\":\"x\\ny\",\"b\":\"z\"}\n\n{\"b\":\"\",\"a\":\"\\u00e9\"}",
                   fields_of(CorpusReader::kJsonLines, {"a", "b"})),
            (Found{"000000=x\ny z", "000002=\u00e9 "}));
}

TEST(JsonLinesCorpus, NamesTheLineAndItsOffset) {
  const CorpusFormat format = fields_of(CorpusReader::kJsonLines, {"text"});
  EXPECT_EQ(
      error_of("{\"text\":\"a\"}\n{\"txt\":\"b\"}\n", format),
      "a.txt: at byte 13: expected a JSON object with the text, found line 2: expected string "
      "'text', found nothing");
  EXPECT_EQ(error_of("{\"text\":3}\n", format),
            "a.txt: at byte 0: expected a JSON object with the text, found line 1: expected string "
            "'text', found 3");
  EXPECT_NE(error_of("{\"text\":\"a\"}\n{\"text\":\n", format).find("at byte 13: "),
            std::string::npos);
  EXPECT_NE(error_of("{\"text\":\"a\"}\n{\"text\":\n", format).find("line 2: at byte"),
            std::string::npos);
  EXPECT_NE(error_of("{\"text\":\"a\\u0000b\"}\n", format).find("found a NUL character"),
            std::string::npos);
  EXPECT_NE(error_of("[1]\n", format).find("line 1: expected string 'text'"), std::string::npos);
  EXPECT_EQ(error_of("{}\n", fields_of(CorpusReader::kJsonLines, {})),
            "fields = '': the fields or columns that hold the text");
}

TEST(JsonArrayCorpus, TakesTheFieldOfEachElement) {
  const CorpusFormat format = fields_of(CorpusReader::kJsonArray, {"text"});
  EXPECT_EQ(parsed("[\n {\"text\": \"a\"},\n {\"text\": \"b\"}]\n", format),
            (Found{"000000=a", "000001=b"}));
  EXPECT_EQ(error_of("{\"text\":\"a\"}", format),
            "a.txt: at byte 0: expected a JSON array, found object");
  EXPECT_EQ(error_of("[{\"text\":\"a\"},{\"text\":null}]", format),
            "a.txt: element 1: expected string 'text', found nothing");
  EXPECT_EQ(error_of("[]", format), "a.txt: at byte 0: expected at least one document, found none");
}

TEST(CsvCorpus, TakesColumnsByNumberOrName) {
  const std::string text = "id,title,body\n1,A,\"b, c\"\n2,D,e\n";
  EXPECT_EQ(parsed(text, fields_of(CorpusReader::kCsv, {"title", "body"})),
            (Found{"000000=A b, c", "000001=D e"}));
  EXPECT_EQ(parsed(text, fields_of(CorpusReader::kCsv, {"3"})),
            (Found{"000000=body", "000001=b, c", "000002=e"}));
  EXPECT_EQ(error_of(text, fields_of(CorpusReader::kCsv, {"4"})),
            "a.txt: at byte 0: expected a column 4, found 3 columns");
  EXPECT_EQ(error_of(text, fields_of(CorpusReader::kCsv, {"bodi"})),
            "a.txt: at byte 0: expected a column 'bodi' in the first row, found id, title, body");
}

TEST(ReadCorpus, ReadsAFileAndNamesItInErrors) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("a.txt");
  write_file_atomically(path, "one\ntwo\n");
  EXPECT_EQ(read_corpus(path, text_split(DocumentSplit::kLines)).size(), 2U);
  write_file_atomically(path, "");
  EXPECT_THROW(read_corpus(path, text_split(DocumentSplit::kLines)), DataError);
  EXPECT_THROW(read_corpus(folder.file("none"), text_split(DocumentSplit::kLines)), DataError);
}

TEST(CorpusNames, GoBothWays) {
  for (const char* name : {"text", "jsonl", "json", "csv"})
    EXPECT_EQ(corpus_reader_name(corpus_reader(name)), name);
  for (const char* name : {"whole", "lines", "articles", "paragraphs", "separator"})
    EXPECT_EQ(document_split_name(document_split(name)), name);
  EXPECT_THROW(corpus_reader("xml"), ConfigError);
  EXPECT_THROW(document_split("linse"), ConfigError);
}

}  // namespace
}  // namespace dlm
