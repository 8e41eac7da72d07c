// `bench`: speed alone, over every combination of settings, printed as each is known.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/base/text.h"
#include "harness/bench/sampling_speed.h"
#include "harness/cli.h"
#include "harness/commands/command.h"
#include "harness/commands/store_options.h"
#include "harness/environment.h"
#include "harness/model_loading.h"
#include "harness/read_settings.h"
#include "harness/sweep.h"
#include "harness/whole_text_settings.h"
#include "models/machine_probe.h"
#include "models/runtime.h"
#include "results/store.h"

namespace dlm {
namespace {

constexpr const char* kText =
    "Times the writing of text: a warm-up, then repeats until the median is known to --spread or "
    "there are --repeats of\n"
    "them. Lists and ranges multiply into a sweep; each combination is printed as it is done and "
    "kept in the store.\n"
    "What is timed begins with a text's second pass: loading, warm-up and the pass over the "
    "context are left out. Nothing\n"
    "stops a text but its length. A step is a pass and the draws after it. Bytes are those of the "
    "matrices and of cached\n"
    "keys and values; of_peak and of_memory are shares of what this machine was measured to do.\n\n"
    "  dlmbench bench --model 'shape:bd3lm?layers=12&hidden=768&block=4' --nucleus-p 0.9 "
    "--context 0,512\n"
    "  dlmbench bench --model shape:gpt2 --dtype f32,bf16 --batch-size 1,16\n"
    "  dlmbench bench --model bd3lm/ --any-block-size true --block-size 4,16 --sampler random "
    "--tokens-per-step 1,2,4\n"
    "  dlmbench bench --model 'shape:bd3lm?block=16' --sampler random --tokens-per-step 1,4 "
    "--adjust shape:adjust";

constexpr std::int64_t kNewTokens = 64;

struct BenchOptions {
  std::vector<std::int64_t> contexts;
  SpeedQuestion question;
  bool tokens_given = false;
};

template <class Parse>
auto number_of(const ParsedOptions& options, const char* name, const char* fallback, Parse parse) {
  const std::string text = options.get(name, fallback);
  const auto value = parse(text);
  if (!value || !(*value >= 0))
    throw ConfigError(name, text, "a number >= 0");
  return *value;
}

BenchOptions bench_options(const ParsedOptions& options) {
  BenchOptions bench;
  for (const std::string& text : make_axis("seed", options.get("context", "0")).values) {
    const auto context = parse_int(text);
    if (!context || *context < 0)
      throw ConfigError("context", text, "whole numbers >= 0, as a list or a range");
    bench.contexts.push_back(*context);
  }
  bench.question.spread = number_of(options, "spread", "0.02", parse_double);
  bench.question.most_repeats = number_of(options, "repeats", "20", parse_int);
  for (const auto& [key, text] : options.field_texts)
    bench.tokens_given = bench.tokens_given || key == "sampler.max_new_tokens";
  return bench;
}

// What the machine can do, measured once for each dtype.
class Machine {
 public:
  double gflops(const std::string& dtype) {
    const auto found = gflops_.find(dtype);
    if (found != gflops_.end())
      return found->second;
    return gflops_[dtype] = measure_linear_gflops("auto", dtype, {});
  }

  double gigabytes() {
    if (!gigabytes_)
      gigabytes_ = measure_read_gigabytes_per_second();
    return *gigabytes_;
  }

 private:
  std::map<std::string, double> gflops_;
  std::optional<double> gigabytes_;
};

// Makes peak_resident_bytes() forget what was before, the machine's own measurement above all.
// Where the system refuses, the figure is the whole process's.
void forget_peak_memory() {
  std::ofstream("/proc/self/clear_refs") << "5";
}

std::int64_t block_size_of(const RunSpec& spec, const LoadedModel& model) {
  if (spec.block_size > 0 || model.denoiser == nullptr)
    return spec.block_size;
  return model.denoiser->trained_block_size();
}

struct Measured {
  RunSpec spec;
  std::int64_t context = 0;
  std::int64_t block_size = 0;  // 0: token by token
  SamplingSpeed speed;
  double peak_gflops = 0;
  double read_gigabytes = 0;
};

struct Figure {
  MetricDefinition definition;
  MedianInterval value;
};

std::vector<Figure> figures(const Measured& run) {
  const SamplingSpeed& speed = run.speed;
  std::vector<Figure> out;
  const auto add = [&](const char* name, const char* unit, const char* better,
                       std::vector<double> values, const char* doc) {
    out.push_back(
        {{name, unit, better, "median of repeats", doc}, median_interval(std::move(values))});
  };
  add("tokens_per_second_accepted", "tokens/s", "hi",
      speed.rates([](const SpeedRepeat& r) { return r.accepted; }),
      "tokens that stay in a text, from its second pass on");
  add("tokens_per_second_canvas", "tokens/s", "hi",
      speed.rates([](const SpeedRepeat& r) { return r.canvas; }), "tokens drawn");
  std::vector<double> per_forward, passes;
  for (const SpeedRepeat& repeat : speed.repeats) {
    passes.push_back(static_cast<double>(repeat.counts.passes));
    per_forward.push_back(static_cast<double>(repeat.accepted) / passes.back());
  }
  add("tokens_per_forward", "tokens/pass", "hi", per_forward, "accepted tokens of one pass");
  add("nfe", "passes", "lo", passes, "passes of one repeat, as timed");
  add("gigaflops_per_second", "GFLOP/s", "hi",
      speed.rates([](const SpeedRepeat& r) { return 1e-9 * r.counts.flops; }),
      "2 x multiply-adds of matrix products");
  if (speed.matrix_bytes > 0)  // known of the networks of dit.h and decoder_model.h
    add("gigabytes_per_second", "GB/s", "hi",
        speed.rates([&](const SpeedRepeat& r) { return 1e-9 * speed.bytes(r); }),
        "matrices and cached keys and values read");
  const auto add_one = [&](const char* name, const char* unit, double value, const char* doc) {
    out.push_back({{name, unit, "lo", "all steps of all repeats", doc}, {value, {value, value}}});
  };
  add_one("step_ms_median", "ms", 1e3 * quantile(speed.step_seconds, 0.5),
          "a pass and the draws after it");
  add_one("step_ms_p95", "ms", 1e3 * quantile(speed.step_seconds, 0.95), "the same, 95th of 100");
  add_one("peak_memory_mb", "MB", 1e-6 * static_cast<double>(peak_resident_bytes()),
          "largest resident memory while it was measured, the model included");
  return out;
}

Table speed_table(const Measured& run) {
  Table table;
  std::vector<Cell> row;
  const auto add = [&](const char* name, Cell cell) {
    table.columns.push_back({name, "", Align::kRight, Audience::kAll});
    row.push_back(std::move(cell));
  };
  const RunSpec& spec = run.spec;
  add("dtype", spec.dtype);
  add("block", run.block_size);
  add("sampler", spec.sampler.name);
  add("K", spec.sampler.tokens_per_step);
  add("adjust", spec.sampler.adjust.empty() ? "no" : "yes");
  add("temperature", spec.sampler.temperature);
  add("batch", spec.batch_size);
  add("context", run.context);
  for (const Figure& figure : figures(run)) {
    const double value = figure.value.median;
    add(figure.definition.metric.c_str(), Cell(value, value < 100 ? 2 : 0));
    if (figure.definition.metric == "gigaflops_per_second")
      add("of_peak", Cell(value / run.peak_gflops, 2));
    if (figure.definition.metric == "gigabytes_per_second")
      add("of_memory", Cell(value / run.read_gigabytes, 2));
  }
  add("repeats", std::ssize(run.speed.repeats));
  add("spread", Cell(figures(run).front().value.half_width(), 3));
  table.rows.push_back(std::move(row));
  return table;
}

RunHeader header_of(const Measured& run, const LoadedModel& model) {
  Json settings = run_fields(SpecPart::kGenerate).to_json(run.spec, false);
  settings["bench"] = {{"context", run.context}};
  for (const auto& [name, folder] : {std::pair("verifier", run.spec.sampler.verifier),
                                     std::pair("adjust", run.spec.sampler.adjust)}) {
    if (!folder.empty())
      settings["bench"][name] = sampler_helper_sha256(folder);
  }
  RunHeader header;
  header.identity_json = canonical_json({{"measures", "bench"},
                                         {"settings", settings},
                                         {"weights", model.weights_sha256},
                                         {"numerics", kNumericsEpoch}});
  header.run_key = sha256_hex(header.identity_json);
  header.spec_json = canonical_json(settings);
  header.model_name = model.name;
  header.family = model.info().family;
  header.dtype = model.info().dtype;
  header.parameters = model.info().parameters;
  header.weights_sha256 = model.weights_sha256;
  header.model_config_json = model.config_json;
  header.task_name = "bench";
  header.task_kind = "bench";
  header.task_version = 1;
  header.data_sha256 = sha256_hex(fmt::format("context {}", run.context));
  header.task_config_json = "{}";
  header.n_docs = std::ssize(run.speed.repeats);
  Json environment = environment_json(run.spec.device);
  environment["peak_gflops"] = run.peak_gflops;
  environment["read_gigabytes_per_second"] = run.read_gigabytes;
  header.env_json = canonical_json(environment);
  header.build_json = canonical_json(build_json());
  header.seed = run.spec.seed;
  header.command = fmt::format("{} --context {}",
                               command_of(run.spec, SpecPart::kGenerate, "bench"), run.context);
  return header;
}

// One row a repeat, so that compare, gate and plot see its time as they see a document's.
std::vector<ExampleRow> rows_of(const Measured& run) {
  std::vector<ExampleRow> rows;
  for (const SpeedRepeat& repeat : run.speed.repeats) {
    ExampleRow row;
    row.doc_id = fmt::format("repeat-{:04}", rows.size());
    row.doc_sha = sha256_hex(row.doc_id);
    row.prompt_tokens = run.context * run.spec.batch_size;
    row.canvas_tokens = repeat.canvas;
    row.kept_tokens = repeat.accepted;
    row.counts = repeat.counts;
    row.wall_ns = static_cast<std::int64_t>(1e9 * repeat.seconds);
    rows.push_back(std::move(row));
  }
  return rows;
}

void keep(const Measured& run, const LoadedModel& model, Store& store) {
  const OpenedRun opened = store.begin_run(header_of(run, model), Restart::kFresh);
  if (opened.state == RunState::kBusy) {
    log_warning(fmt::format("another process is measuring it now: {}", opened.owner));
    return;
  }
  store.add_rows(opened.run_id, rows_of(run));
  std::vector<Estimate> estimates;
  std::vector<MetricDefinition> definitions;
  RunEnd end;
  for (const Figure& figure : figures(run)) {
    Estimate estimate;
    estimate.metric = figure.definition.metric;
    estimate.value = figure.value.median;
    estimate.n = std::ssize(run.speed.repeats);
    if (figure.definition.estimator == "median of repeats") {
      estimate.ci_low = figure.value.interval.low;
      estimate.ci_high = figure.value.interval.high;
      estimate.ci_method = "order statistics";
    }
    estimates.push_back(estimate);
    definitions.push_back(figure.definition);
  }
  store.add_estimates(opened.run_id, estimates, definitions);
  for (const SpeedRepeat& repeat : run.speed.repeats)
    end.wall_ns += static_cast<std::int64_t>(1e9 * repeat.seconds);
  end.peak_rss_bytes = peak_resident_bytes();
  end.threads = threads_in_use();
  store.finish_run(opened.run_id, end);
}

}  // namespace

int bench_command(const Arguments& args) {
  CommandOptions cli("bench --model M [sampler settings]", kText);
  add_store_options(cli);
  cli.value("context", "tokens before the new ones, a list or a range (default 0)")
      .value("repeats", "at most so many, and at least 6 (default 20)")
      .value("spread", "enough: half of the median's 95 % interval over it (default 0.02)")
      .fields(SpecPart::kGenerate);
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  check_output_format(*options);
  BenchOptions bench = bench_options(*options);
  std::vector<SweepAxis> axes;
  for (const auto& [key, text] : options->field_texts) axes.push_back(make_axis(key, text));
  const std::vector<RunSpec> specs = expand({}, axes);
  set_threads(specs.front().threads);
  ModelCache models;
  Machine machine;
  std::unique_ptr<Store> store;
  Sweep sweep(specs);
  std::set<std::pair<std::string, std::int64_t>> measured;
  bool failed = false;
  for (const RunSpec& asked : specs) {
    for (const std::int64_t context : bench.contexts) {
      try {
        const LoadedModel& model = models.load(asked);
        const RunSpec spec = sweep.read_part(asked, model, SpecPart::kGenerate);
        const std::string command = command_of(spec, SpecPart::kGenerate, "bench");
        if (!measured.emplace(command, context).second)
          continue;  // what told it from another is not read
        Measured run{spec,
                     context,
                     block_size_of(spec, model),
                     {},
                     machine.gflops(spec.dtype),
                     machine.gigabytes()};
        run.spec.sampler.max_new_tokens =
            bench.tokens_given ? spec.sampler.max_new_tokens : kNewTokens;
        bench.question.context = context;
        bench.question.new_tokens = run.spec.sampler.max_new_tokens;
        forget_peak_memory();
        run.speed = measure_sampling(run.spec, model, bench.question);
        if (store == nullptr)
          store = open_store(*options);
        keep(run, model, *store);
        fmt::print("{}", render(speed_table(run), options->get("output", "md")));
        std::fflush(stdout);
      } catch (const ConfigError& error) {
        if (specs.size() * bench.contexts.size() == 1)
          throw;
        failed = true;
        log_warning(fmt::format("{} --context {}: {}",
                                command_of(asked, SpecPart::kGenerate, "bench"), context,
                                error.what()));
      }
    }
  }
  sweep.warn_of_unread();
  if (!failed)
    return kExitOk;
  return store == nullptr ? kExitUsage : kExitRunFailed;
}

}  // namespace dlm
