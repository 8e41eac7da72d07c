// The part of Store that moves rows, estimates and query results.
#include <array>
#include <cmath>
#include <map>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "results/blob.h"
#include "results/store.h"

namespace dlm {
namespace {

// How messages name a row or an estimate.
struct Origin {
  std::string_view run_id;
  std::string_view item;
};

// Zero has one form in the file (SQLite keeps no -0.0), so it has one form before it too.
double finite(double value, const Origin& origin, const char* field) {
  DLM_CHECK(std::isfinite(value), "run {}, {}: {} is {}", origin.run_id, origin.item, field, value);
  return value + 0.0;
}

std::optional<double> finite(const std::optional<double>& value, const Origin& origin,
                             const char* field) {
  if (!value.has_value())
    return std::nullopt;
  return finite(*value, origin, field);
}

class BlobWriter {
 public:
  explicit BlobWriter(Database& database)
      : find_(database.prepare("SELECT 1 FROM blob WHERE sha256=?")),
        insert_(database.prepare("INSERT INTO blob VALUES(?,?,?)")) {}

  // The text's key; nothing for an empty text.
  std::optional<std::string> write(const std::string& text) {
    if (text.empty())
      return std::nullopt;
    std::string key = sha256_hex(text);
    const bool known = find_.bind_all(key).step();
    find_.reset();
    if (!known) {
      const Blob blob = codec_.pack(text);
      insert_.bind_all(key, blob.encoding);
      insert_.bind_blob(3, blob.data);
      insert_.run();
    }
    return key;
  }

 private:
  Statement find_;
  Statement insert_;
  BlobCodec codec_;
};

// Of table sample, beside the run.
constexpr std::string_view kRowColumns =
    "doc_id,rep,doc_sha,cluster,out_sha,score,nll,nll_m2,n_mc,n_tok,n_bytes,n_words,prompt_tok,"
    "canvas_tok,kept_tok,special_tok,nfe,positions,head_rows,cached_positions,flops,wall_ns,"
    "exec_status,margin";

std::string insert_row_sql() {
  std::string sql = fmt::format("INSERT INTO sample(run_id,{}) VALUES(?", kRowColumns);
  for (auto i = std::count(kRowColumns.begin(), kRowColumns.end(), ','); i >= 0; --i) sql += ",?";
  return sql + ")";
}

constexpr const char* kSelectRows =
    "SELECT doc_id,rep,doc_sha,cluster,nll,n_tok,n_bytes,n_words,prompt_tok,special_tok,nfe,"
    "positions,head_rows,cached_positions,flops,wall_ns,out_sha,enc,data,score,nll_m2,n_mc,"
    "canvas_tok,kept_tok,exec_status,margin "
    "FROM sample LEFT JOIN blob ON sha256=out_sha WHERE run_id=? ORDER BY doc_id,rep";

ExampleRow read_row(const Statement& statement, BlobCodec& codec, const std::string& path) {
  ExampleRow row;
  row.doc_id = statement.text(0);
  row.rep = statement.integer(1);
  row.doc_sha = statement.text(2);
  row.cluster = statement.text(3);
  row.nll = statement.real(4);
  row.tokens = statement.integer(5);
  row.bytes = statement.integer(6);
  row.words = statement.integer(7);
  row.prompt_tokens = statement.integer(8);
  row.special_tokens = statement.integer(9);
  row.counts = {statement.integer(10), statement.integer(11), statement.integer(12),
                statement.integer(13), statement.real(14)};
  row.wall_ns = statement.integer(15);
  row.score = statement.optional_real(19);
  row.nll_m2 = statement.real(20);
  row.n_mc = statement.integer(21);
  row.canvas_tokens = statement.integer(22);
  row.kept_tokens = statement.integer(23);
  row.exec_status = statement.text(24);
  row.margin = statement.optional_real(25);
  if (statement.type(16) != ColumnType::kNull) {
    const std::string where = fmt::format("{}: output of document {}", path, row.doc_id);
    row.output = codec.unpack({statement.text(17), statement.text(18)}, statement.text(16), where);
  }
  return row;
}

void insert_definition(Database& database, const MetricDefinition& definition) {
  Statement known = database.prepare("SELECT unit, better FROM metric_def WHERE metric=?");
  known.bind_all(definition.metric);
  if (known.step() && (known.text(0) != definition.unit || known.text(1) != definition.better)) {
    throw DataError(database.path(), -1,
                    fmt::format("metric '{}' in '{}', better '{}'", definition.metric,
                                definition.unit, definition.better),
                    fmt::format("'{}', better '{}'", known.text(0), known.text(1)));
  }
  known.reset();
  database
      .prepare(
          "INSERT INTO metric_def VALUES(?,?,?,?) ON CONFLICT(metric) DO UPDATE SET "
          "doc=excluded.doc")
      .bind_all(definition.metric, definition.unit, definition.better, definition.doc)
      .run();
}

Cell cell_of(const Statement& statement, int column) {
  switch (statement.type(column)) {
    case ColumnType::kInteger:
      return statement.integer(column);
    case ColumnType::kReal:
      return statement.real(column);
    case ColumnType::kText:
      return statement.text(column);
    case ColumnType::kBlob: {
      std::string hex;
      for (const char byte : statement.text(column))
        hex += fmt::format("{:02x}", static_cast<unsigned char>(byte));
      return hex;
    }
    case ColumnType::kNull:
      return {};
  }
  return {};
}

void bind_cell(Statement& statement, int index, const Cell& cell) {
  if (const auto* integer = std::get_if<std::int64_t>(&cell.value)) {
    statement.bind(index, *integer);
  } else if (const auto* real = std::get_if<double>(&cell.value)) {
    statement.bind(index, *real);
  } else if (const auto* text = std::get_if<std::string>(&cell.value)) {
    statement.bind(index, *text);
  } else {
    statement.bind_null(index);
  }
}

// A column is right-aligned where everything known in it is a number.
Align alignment_of(const Table& table, std::size_t column) {
  bool number = false;
  for (const auto& row : table.rows) {
    if (std::holds_alternative<std::string>(row[column].value))
      return Align::kLeft;
    number = number || row[column].value.index() != 0;
  }
  return number ? Align::kRight : Align::kLeft;
}

void insert_reveals(Database& database, std::string_view run_id,
                    std::span<const RowReveal> reveals) {
  if (reveals.empty())
    return;
  Statement insert = database.prepare("INSERT INTO reveal VALUES(?,?,?,?)");
  for (const RowReveal& row : reveals) {
    if (!row.tokens.empty())
      insert.bind_all(run_id, row.doc_id, row.rep, reveal_json(row.tokens)).run();
  }
}

}  // namespace

std::vector<ExampleRow> Store::rows(std::string_view run_id) {
  Statement statement = database_.prepare(kSelectRows);
  statement.bind_all(run_id);
  BlobCodec codec;
  std::vector<ExampleRow> rows;
  while (statement.step()) rows.push_back(read_row(statement, codec, path()));
  return rows;
}

void Store::add_rows(std::string_view run_id, std::span<const ExampleRow> rows,
                     std::span<const RowReveal> reveals) {
  check_held(run_id);
  Transaction transaction(database_);
  BlobWriter blobs(database_);
  Statement insert = database_.prepare(insert_row_sql());
  for (const ExampleRow& row : rows) {
    const std::string item = fmt::format("doc {} rep {}", row.doc_id, row.rep);
    const Origin origin{run_id, item};
    const PassCounts& counts = row.counts;
    // Absent where nothing was generated: rates then count the scored tokens.
    const auto generated = [&row](std::int64_t tokens) {
      return row.canvas_tokens > 0 ? std::optional(tokens) : std::nullopt;
    };
    // Absent where nothing was scored: 0 would be the NLL of certain tokens.
    const auto scored = [&](double nats, const char* name) {
      return row.tokens > 0 ? std::optional(finite(nats, origin, name)) : std::nullopt;
    };
    insert.bind_all(run_id, row.doc_id, row.rep, row.doc_sha, absent_if_empty(row.cluster),
                    blobs.write(row.output), finite(row.score, origin, "score"),
                    scored(row.nll, "nll"), scored(row.nll_m2, "nll_m2"), row.n_mc, row.tokens,
                    row.bytes, row.words, row.prompt_tokens, generated(row.canvas_tokens),
                    generated(row.kept_tokens), row.special_tokens, counts.passes, counts.positions,
                    counts.head_rows, counts.cached_positions,
                    finite(counts.flops, origin, "flops"), row.wall_ns,
                    absent_if_empty(row.exec_status), finite(row.margin, origin, "margin"));
    try {
      insert.run();
    } catch (const InternalError& error) {
      throw InternalError(fmt::format("run {}, {}: {}", run_id, item, error.what()));
    }
  }
  insert_reveals(database_, run_id, reveals);
  transaction.commit();
}

void Store::copy_rows(std::string_view from, std::string_view to) {
  database_
      .prepare(fmt::format("INSERT INTO sample(run_id,{0}) SELECT ?2,{0} FROM sample WHERE "
                           "run_id=?1",
                           kRowColumns))
      .bind_all(from, to)
      .run();
  database_
      .prepare(
          "INSERT INTO reveal(run_id,doc_id,rep,tokens) SELECT ?2,doc_id,rep,tokens FROM reveal "
          "WHERE run_id=?1")
      .bind_all(from, to)
      .run();
}

void Store::add_estimates(std::string_view run_id, std::span<const Estimate> estimates,
                          std::span<const MetricDefinition> definitions) {
  std::map<std::string, const MetricDefinition*> by_metric;
  for (const MetricDefinition& definition : definitions) by_metric[definition.metric] = &definition;
  Transaction transaction(database_);
  Statement insert = database_.prepare(
      "INSERT OR REPLACE INTO metric(run_id,metric,variant,value,se_data,se_mc,ci_lo,ci_hi,"
      "ci_method,n,n_clusters,est) VALUES(?,?,?,?,?,?,?,?,?,?,?,?)");
  for (const auto& [metric, definition] : by_metric) insert_definition(database_, *definition);
  for (const Estimate& e : estimates) {
    const auto definition = by_metric.find(e.metric);
    DLM_CHECK(definition != by_metric.end(), "metric '{}' has no definition", e.metric);
    const std::string item = fmt::format("metric {} '{}'", e.metric, e.variant);
    const Origin origin{run_id, item};
    insert
        .bind_all(run_id, e.metric, e.variant, finite(e.value, origin, "value"),
                  finite(e.se_data, origin, "se_data"), finite(e.se_mc, origin, "se_mc"),
                  finite(e.ci_low, origin, "ci_low"), finite(e.ci_high, origin, "ci_high"),
                  e.ci_method, e.n, e.n_clusters, definition->second->estimator)
        .run();
  }
  transaction.commit();
}

std::vector<Estimate> Store::estimates(std::string_view run_id) {
  Statement statement = database_.prepare(
      "SELECT metric,variant,value,se_data,se_mc,ci_lo,ci_hi,ci_method,n,n_clusters FROM metric "
      "WHERE run_id=? ORDER BY metric,variant");
  statement.bind_all(run_id);
  std::vector<Estimate> estimates;
  while (statement.step()) {
    estimates.push_back({statement.text(0), statement.text(1), statement.real(2),
                         statement.optional_real(3), statement.optional_real(4),
                         statement.optional_real(5), statement.optional_real(6), statement.text(7),
                         statement.integer(8), statement.integer(9)});
  }
  return estimates;
}

void Store::scan(std::string_view sql, std::span<const Cell> parameters,
                 const std::function<void(const Statement&)>& on_row) {
  Statement statement = database_.prepare_reading(sql);
  for (std::size_t i = 0; i < parameters.size(); ++i)
    bind_cell(statement, static_cast<int>(i) + 1, parameters[i]);
  while (statement.step()) on_row(statement);
}

Table Store::query(std::string_view sql, std::span<const Cell> parameters) {
  Statement statement = database_.prepare_reading(sql);
  for (std::size_t i = 0; i < parameters.size(); ++i)
    bind_cell(statement, static_cast<int>(i) + 1, parameters[i]);
  Table table;
  const int n_columns = statement.column_count();
  for (int i = 0; i < n_columns; ++i) table.columns.push_back({statement.column_name(i), ""});
  while (statement.step()) {
    std::vector<Cell>& row = table.rows.emplace_back();
    for (int i = 0; i < n_columns; ++i) row.push_back(cell_of(statement, i));
  }
  for (std::size_t i = 0; i < table.columns.size(); ++i)
    table.columns[i].align = alignment_of(table, i);
  return table;
}

}  // namespace dlm
