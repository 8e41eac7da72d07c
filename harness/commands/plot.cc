// `plot`: stored runs as pictures.
#include <cstdio>
#include <string>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/commands/command.h"
#include "harness/commands/run_choice.h"
#include "harness/commands/store_options.h"
#include "results/plot_data.h"

namespace dlm {

int plot_command(const Arguments& args) {
  CommandOptions cli(
      "plot KIND [RUN...] --to FILE.svg|png|pdf [options]",
      "Draws stored runs with gnuplot; the script (.gp) and the data (.dat) are kept beside the "
      "picture. Kinds: frontier\n"
      "(quality against speed, Pareto front), perplexity (against L'), mauve (against K), variance "
      "(of the NELBO, against\n"
      "--x), history (over commits), by (--metric against --x). The data are printed as a table "
      "too.\n\n"
      "  dlmbench plot frontier --task gsm8k --metric accuracy:strict --to front.svg\n"
      "  dlmbench plot history --metric nll --all --to nll.png");
  add_store_options(cli);
  add_filter_options(cli);
  cli.value("metric",
            "what is drawn upwards; METRIC:VARIANT names one of several values (default: the "
            "task's extractor, pooled, k=1)")
      .value("x", "the setting that is drawn to the right")
      .value("to", "the picture; its ending names the format")
      .positionals(100000);
  auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  check_output_format(*options);
  if (options->positionals.empty())
    throw ConfigError("plot", "", fmt::format("needs a kind: {}", fmt::join(plot_kinds(), ", ")));
  const std::string kind = options->positionals.front();
  options->positionals.erase(options->positionals.begin());
  const auto store = open_store_read_only(*options);
  if (kind == "history" && options->positionals.empty())
    options->values["all"] = {""};
  const auto ids = chosen_runs(*store, *options);
  const Plot plot =
      make_plot(*store, ids, {kind, options->get("metric", ""), options->get("x", "")});
  fmt::print("{}", render(plot_table(plot), options->get("output", "md")));
  for (const std::string& note : plot.notes) log_info("{}", note);
  if (options->has("to"))
    write_plot(plot, options->get("to", ""));
  return kExitOk;
}

}  // namespace dlm
