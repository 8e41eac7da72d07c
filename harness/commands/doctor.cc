// `doctor`: what works on this machine, how fast its matrix products are, which data is there.
#include <cstdio>
#include <string>

#include <nlohmann/json.hpp>
#include <sys/statvfs.h>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/cli.h"
#include "harness/commands/command.h"
#include "harness/commands/doctor_sandbox.h"
#include "harness/commands/store_options.h"
#include "harness/data_root.h"
#include "harness/environment.h"
#include "models/machine_probe.h"
#include "models/runtime.h"
#include "results/table.h"
#include "tasks/datasets.h"
#include "tasks/sandbox/sandbox.h"

namespace dlm {
namespace {

constexpr const char* kText =
    "Checks this machine: the build, the back ends of matrix products and their speed, memory "
    "bandwidth, the sandbox for\n"
    "generated programs, the data sets. Changes nothing. `doctor sandbox` runs programs that try "
    "to "
    "harm the machine, to get\n"
    "out of the sandbox or to pass without passing, and says whether each was held; exit code 6 "
    "where there is no sandbox.\n\n"
    "  dlmbench doctor\n  dlmbench doctor -o json\n  dlmbench doctor sandbox";

Table new_table() {
  Table table;
  table.columns = {{"what", "", Align::kLeft, Audience::kAll},
                   {"state", "", Align::kLeft, Audience::kAll},
                   {"detail", "", Align::kLeft, Audience::kAll}};
  return table;
}

void add(Table& table, const char* what, const char* state, const std::string& detail) {
  table.rows.push_back({what, state, detail});
}

void add_machine(Table& table) {
  const Json build = build_json();
  const Json machine = environment_json("cpu");
  add(table, "program", "ok",
      fmt::format("commit {}{}, {}", build["git_commit"].get<std::string>(),
                  build["dirty"].get<bool>() ? " with changes" : "",
                  build["compiler"].get<std::string>()));
  add(table, "machine", "ok",
      fmt::format("{}, {} cores, {:.0f} GB, {}", machine["cpu"].get<std::string>(),
                  machine["cores"].get<int>(), 1e-9 * machine["memory_bytes"].get<double>(),
                  machine["os"].get<std::string>()));
  add(table, "libtorch", "ok",
      fmt::format("{}, {}, {} threads, CUDA {}", torch_version(), cpu_capability(),
                  threads_in_use(), has_cuda() ? "works" : "absent"));
}

// One row per dtype: both back ends, and a warning where the fixed rule is not the fast one here.
void add_linear_speed(Table& table) {
  for (const char* dtype : {"f32", "bf16"}) {
    const std::string chosen = auto_backend(dtype);
    const double aten = measure_linear_gflops("aten", dtype, {});
    const bool has_onednn = chosen == "onednn";
    const double onednn = has_onednn ? measure_linear_gflops("onednn", dtype, {}) : 0;
    const bool slow =
        (chosen == "onednn" ? aten : onednn) > 1.1 * (chosen == "onednn" ? onednn : aten);
    const std::string other =
        has_onednn ? fmt::format("onednn {:.0f}", onednn) : "onednn can not compute it";
    add(table, "matrix products", slow ? "slow" : "ok",
        fmt::format("{}: aten {:.0f}, {} GFLOP/s; auto = {}{}", dtype, aten, other, chosen,
                    slow ? "; use --linear-backend with the other" : ""));
  }
  add(table, "memory", "ok", fmt::format("reads {:.0f} GB/s", measure_read_gigabytes_per_second()));
}

void add_sandbox(Table& table) {
  try {
    const Sandbox sandbox(SandboxOptions{});
    const Json settings = parse_json(sandbox.settings_json(), "sandbox");
    const Json here = parse_json(sandbox.environment_json(), "sandbox");
    add(table, "sandbox", "ok",
        fmt::format("bubblewrap around {} {}; reference loop {:.0f} ms, a limit of 3 s is {:.1f} s",
                    settings["interpreter"].get<std::string>(),
                    settings["interpreter_version"].get<std::string>().substr(0, 7),
                    1e3 * here["reference_loop_seconds"].get<double>(),
                    here["cpu_limit_seconds"].get<double>()));
  } catch (const Error& error) {
    add(table, "sandbox", "absent",
        fmt::format("{}; programs that models write will not be run", error.what()));
  }
}

void add_disk(Table& table) {
  struct statvfs disk {};

  if (statvfs(".", &disk) != 0)
    return;
  const double free =
      1e-9 * static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize);
  add(table, "disk", free < 1 ? "low" : "ok", fmt::format("{:.1f} GB free here", free));
}

void add_data(Table& table) {
  if (!has_data_root()) {
    add(table, "data", "absent", fmt::format("nothing below {}; set DLMBENCH_DATA", data_root()));
    return;
  }
  for (const NamedDataset& set : named_datasets()) {
    const std::string path = data_root() + "/" + set.path;
    const bool there = file_exists(path);
    const bool intact = there && sha256_hex_of_file(path) == set.sha256;
    add(table, "data",
        intact  ? "ok"
        : there ? "changed"
                : "absent",
        fmt::format("{}: {}", set.name, path));
  }
}

}  // namespace

int doctor_command(const Arguments& args) {
  CommandOptions cli("doctor", kText);
  cli.value("output,o", fmt::format("{} (default md)", fmt::join(table_formats(), ", ")))
      .positionals(1);
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  check_output_format(*options);
  if (!options->positionals.empty()) {
    if (options->positionals.front() != "sandbox")
      throw ConfigError("doctor", options->positionals.front(), "nothing, or sandbox");
    return doctor_sandbox(options->get("output", "md"));
  }
  set_threads(0);
  Table table = new_table();
  add_machine(table);
  add_linear_speed(table);
  add_sandbox(table);
  add_disk(table);
  add_data(table);
  fmt::print("{}", render(table, options->get("output", "md")));
  return kExitOk;
}

}  // namespace dlm
