// The order in which texts were revealed: kept, merged, migrated to, and shown.
#include "results/reveal.h"

#include <chrono>
#include <fstream>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "results/html_report.h"
#include "results/merge.h"
#include "results/schema.h"
#include "tests/results/evidence_store.h"
#include "tests/results/expect_error.h"

namespace dlm {
namespace {

using testing::error_of;
using testing::EvidenceStore;
using namespace std::chrono_literals;

const std::vector<RevealedToken> kTokens = {{4, 2}, {0, 1}, {3, 1}, {2, 4}};

TEST(Reveal, ComesBackFromItsText) {
  EXPECT_EQ(reveal_json(kTokens), R"({"bytes":[4,0,3,2],"passes":[2,1,1,4]})");
  EXPECT_EQ(parse_reveal(reveal_json(kTokens), "here"), kTokens);
  EXPECT_TRUE(parse_reveal(reveal_json({}), "here").empty());
}

TEST(Reveal, HostileTextIsRefused) {
  for (const char* text :
       {"", "[]", "3", "{}", R"({"bytes":[1]})", R"({"bytes":[1],"passes":[1,2]})",
        R"({"bytes":[-1],"passes":[1]})", R"({"bytes":[1.5],"passes":[1]})",
        R"({"bytes":"1","passes":[1]})", R"({"bytes":[1],"passes":[99999999999999999999]})"}) {
    EXPECT_CONTAINS(error_of<DataError>([&] { parse_reveal(text, "a place"); }), "a place");
  }
}

TEST(Reveal, PageShadesTokensByTheirPassAndKeepsCharactersWhole) {
  EXPECT_EQ(reveal_html("ab<c\u00E9d", kTokens),
            "<span class=\"q2\" data-p=\"2\">ab&lt;c</span>"
            "<span class=\"q0\" data-p=\"1\">\u00E9d</span>");
  // A token that ends inside of a character gets all of it; text without a token stands as it is.
  const std::vector<RevealedToken> cut = {{1, 1}, {1, 9}};
  EXPECT_EQ(reveal_html("\u00E9x rest", cut),
            "<span class=\"q0\" data-p=\"1\">\u00E9</span><span class=\"q7\" data-p=\"9\">x</span> "
            "rest");
  const std::vector<RevealedToken> huge = {{std::int64_t{1} << 62, 1}};
  EXPECT_EQ(reveal_html("x", huge), "<span class=\"q0\" data-p=\"1\">x</span>");
}

void with_text(std::int64_t, ExampleRow& row) {
  row.output = "ab<cdefgh";
  row.canvas_tokens = row.kept_tokens = 4;
}

// A run of three texts whose second one has no order.
std::string add_with_order(EvidenceStore& evidence) {
  std::vector<ExampleRow> rows;
  for (std::int64_t i = 0; i < 3; ++i) {
    rows.push_back(testing::document(i));
    with_text(i, rows.back());
  }
  Store& store = evidence.store();
  const std::string run = store.begin_run(testing::sample_header("a"), Restart::kResume).run_id;
  const std::vector<RowReveal> orders = {
      {"doc-000000", 0, kTokens}, {"doc-000001", 0, {}}, {"doc-000002", 0, kTokens}};
  store.add_rows(run, rows, orders);
  // Of rows that are refused no order is kept either.
  const std::vector<RowReveal> refused = {{"doc-000001", 0, kTokens}};
  EXPECT_THROW(store.add_rows(run, std::span(rows).subspan(1, 1), refused), InternalError);
  store.finish_run(run, {RunOutcome::kDone, "", 5000000, 0, 0, 2});
  return run;
}

std::string order_in(Store& store, const char* doc_id) {
  return render(store.query(fmt::format("SELECT token, pass, bytes FROM v_reveal WHERE "
                                        "doc_id='{}' ORDER BY token",
                                        doc_id)),
                "csv");
}

TEST(Reveal, IsStoredBesideItsRowAndMerged) {
  EvidenceStore evidence;
  const std::string run = add_with_order(evidence);
  const std::string whole = "token,pass,bytes\n0,2,4\n1,1,0\n2,1,3\n3,4,2\n";
  EXPECT_EQ(order_in(evidence.store(), "doc-000000"), whole);
  EXPECT_EQ(order_in(evidence.store(), "doc-000001"), "token,pass,bytes\n");
  EXPECT_EQ(order_in(evidence.store(), "doc-000002"), whole);
  EXPECT_EQ(evidence.store().rows(run).size(), 3U);
  const std::vector<RowReveal> nobody = {{"doc-000000", 0, kTokens}};
  EXPECT_THROW(evidence.store().add_rows("none", {}, nobody), Error);
  const std::string into = evidence.file("into.db");
  Store::open(into, {});
  {
    Database target(into, Database::Mode::kReadWrite, 10s);
    ASSERT_EQ(merge_store(target, evidence.path()).size(), 1U);
  }
  EXPECT_EQ(order_in(*Store::open_read_only(into), "doc-000002"), whole);
}

TEST(Reveal, DamagedOrderIsNamed) {
  EvidenceStore evidence;
  const std::vector<std::string> runs = {add_with_order(evidence)};
  Database(evidence.path(), Database::Mode::kReadWrite, 1s)
      .execute("UPDATE reveal SET tokens='[3]'");
  const std::string message = error_of<DataError>([&] { html_report(evidence.store(), runs, {}); });
  EXPECT_CONTAINS(message, "reveal order of document doc-000000");
}

TEST(Reveal, ReportReplaysWhatWasKept) {
  EvidenceStore evidence;
  const std::vector<std::string> runs = {add_with_order(evidence), evidence.add("b", 3, with_text)};
  const std::string html = html_report(evidence.store(), runs, {}).html;
  EXPECT_CONTAINS(html, "<pre class=\"reveal\"><span class=\"q2\" data-p=\"2\">ab&lt;c</span>");
  EXPECT_CONTAINS(html, "<pre>ab&lt;cdefgh</pre>");
  EXPECT_CONTAINS(html, "tokens are shaded by the network pass");
  const std::vector<std::string> plain = {runs[1]};
  EXPECT_EQ(html_report(evidence.store(), plain, {}).html.find("are shaded by"), std::string::npos);
}

// The store that version 3 wrote, as SQL.
TEST(Reveal, StoreOfVersionThreeIsBroughtUpToDate) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("a.db");
  std::ifstream file(DLM_STORES "/v3.sql");
  const std::string sql((std::istreambuf_iterator<char>(file)), {});
  ASSERT_GT(sql.size(), 10000U);
  {
    Database database(path, Database::Mode::kCreate, 1s);
    database.execute(sql);
    // What it holds is what the first three steps make.
    Database fresh(folder.file("b.db"), Database::Mode::kCreate, 1s);
    prepare_schema(fresh, schema_steps().first(3));
    constexpr const char* kTables =
        "SELECT group_concat(name || type, ' ') FROM (SELECT name, type FROM sqlite_master WHERE "
        "name NOT LIKE 'sqlite_%' AND name<>'v_config' ORDER BY name)";
    EXPECT_EQ(database.text(kTables), fresh.text(kTables));
  }
  EXPECT_CONTAINS(error_of<DataError>([&] { Store::open_read_only(path); }), "found version 3");
  const auto store = Store::open(path, {});
  const auto csv = [&](const char* text) { return render(store->query(text), "csv"); };
  EXPECT_EQ(csv("SELECT count(*) AS n FROM sample"), "n\n5\n");
  EXPECT_EQ(csv("SELECT count(*) AS n FROM reveal"), "n\n0\n");
  EXPECT_EQ(csv("SELECT sum(n_tok=0 AND nll IS NULL) AS written, sum(n_tok>0 AND nll>0) AS scored "
                "FROM sample"),
            "written,scored\n3,2\n");
  EXPECT_EQ(csv("SELECT name FROM tag GROUP BY name"), "name\nbase\n");
  const Table runs = store->query("SELECT run_id FROM run ORDER BY run_id");
  const std::vector<std::string> ids = {std::get<std::string>(runs.rows.at(0).at(0).value),
                                        std::get<std::string>(runs.rows.at(1).at(0).value)};
  EXPECT_EQ(store->rows(ids[0]).size(), 3U);
  EXPECT_CONTAINS(html_report(*store, ids, {}).html, "<h2 id=\"samples\"");
}

}  // namespace
}  // namespace dlm
