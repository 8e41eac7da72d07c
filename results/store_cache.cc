// The table cache: results by the hash of everything that decides them.
#include <fmt/format.h>

#include "harness/base/file.h"
#include "results/blob.h"
#include "results/store.h"

namespace dlm {

std::optional<std::string> Store::cached(std::string_view key) {
  Statement find = database_.prepare(
      "SELECT out_sha, enc, data FROM cache JOIN blob ON sha256=out_sha WHERE key=?");
  find.bind_all(key);
  if (!find.step())
    return std::nullopt;
  BlobCodec codec;
  return codec.unpack({find.text(1), find.text(2)}, find.text(0),
                      fmt::format("{}: cached result {}", path(), key));
}

void Store::add_cached(const std::map<std::string, std::string>& results) {
  Transaction transaction(database_);
  Statement add_blob = database_.prepare("INSERT OR IGNORE INTO blob VALUES(?,?,?)");
  Statement add = database_.prepare(
      "INSERT OR REPLACE INTO cache VALUES(?,?,NULL,strftime('%Y-%m-%dT%H:%M:%fZ','now'))");
  BlobCodec codec;
  for (const auto& [key, result] : results) {
    const std::string sha = sha256_hex(result);
    const Blob blob = codec.pack(result);
    add_blob.bind_all(sha, blob.encoding);
    add_blob.bind_blob(3, blob.data);
    add_blob.run();
    add.bind_all(key, sha);
    add.run();
  }
  transaction.commit();
}

}  // namespace dlm
