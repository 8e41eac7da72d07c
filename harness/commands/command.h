// The commands of the program: one .cc each, one row in commands.cc.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace dlm {

// Exit codes (DESIGN, Command line).
inline constexpr int kExitOk = 0;
inline constexpr int kExitUsage = 1;      // a setting or a file is wrong; nothing was written
inline constexpr int kExitRunFailed = 2;  // a run failed; its row says why
inline constexpr int kExitWorse = 3;
inline constexpr int kExitAmbiguous = 4;
inline constexpr int kExitNothing = 5;    // nothing was measured or compared
inline constexpr int kExitNoSandbox = 6;  // programs can not be isolated here

using Arguments = std::vector<std::string>;

struct Command {
  const char* name;
  const char* summary;
  int (*run)(const Arguments& args);
};

std::span<const Command> all_commands();

int run_command(const Arguments& args);
int bench_command(const Arguments& args);
int list_command(const Arguments& args);
int show_command(const Arguments& args);
int export_command(const Arguments& args);
int schedule_command(const Arguments& args);
int gradient_command(const Arguments& args);
int cost_command(const Arguments& args);
int law_command(const Arguments& args);
int score_command(const Arguments& args);
int rescore_command(const Arguments& args);
int prompt_command(const Arguments& args);
int compare_command(const Arguments& args);
int merge_command(const Arguments& args);
int gate_command(const Arguments& args);
int tag_command(const Arguments& args);
int plot_command(const Arguments& args);
int report_command(const Arguments& args);
int repro_command(const Arguments& args);
int sql_command(const Arguments& args);
int generate_command(const Arguments& args);
int draw_command(const Arguments& args);
int train_command(const Arguments& args);
int forward_command(const Arguments& args);
int tokenize_command(const Arguments& args);
int data_command(const Arguments& args);
int doctor_command(const Arguments& args);
int selftest_command(const Arguments& args);

}  // namespace dlm
