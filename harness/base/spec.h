// What a run is: every setting with its default. kept in one field table (spec.cc) that the command
// line, TOML, JSON,
// --help, the store and the run key are all made from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/base/field.h"

namespace dlm {

// "auto" is the preset's value where there is a preset (tasks/presets.h).
struct ScoringSpec {
  std::string preset = "none";           // data preparation of a published table
  std::string packing = "auto";          // document, packed, sliding; auto = document
  std::int64_t length = 0;               // L, window length in tokens; 0 = the model's longest
  std::int64_t stride = 0;               // advance of overlapping windows; 0 = length / 2
  std::string bos = "auto";              // auto, add, none: whether a text begins with BOS
  std::string eos = "auto";              // packed: auto, add, none: EOS after each document
  std::string chunk_ends = "auto";       // packed: add, none: BOS first and EOS last in every chunk
  std::string remainder = "auto";        // packed, of the last chunk of a group: keep, drop
  std::int64_t documents_per_group = 0;  // packed: joined together; 0 = all
  std::int64_t num_proc = 1;             // packed: shards of the published preparation
  std::string special_ids = "auto";      // own, encoded: which ids BOS and EOS are
};

// How the likelihood of a diffusion model is estimated (models/diffusion/estimator.h).
struct EstimatorSpec {
  std::string name = "auto";    // auto, exact, reference, stratified, enumerate, order
  std::int64_t draws = 0;       // masks drawn for every block; 0 = chosen
  std::int64_t replicates = 0;  // independent groups of draws; 0 = the estimator's own
  double t_min = -1;            // -1 = the estimator's own
  double t_max = 1;
  std::string first_token = "auto";  // auto, clean, scored
  std::string strata = "rotated";    // rotated, published
  std::int64_t strata_rows = 0;      // published: sequences of a batch that share strata
  std::string schedule = "linear";
  std::string reveal_order = "left_to_right";
  std::int64_t reveal_per_step = 1;
  double target_ci = 0;  // stop at this relative half-width of the perplexity's interval; 0 = never
};

struct SamplerSpec {
  std::string name = "auto";          // autoregressive, or what a step reveals (reveal_policy.h)
  std::int64_t steps = 0;             // T of a block; 0 = as tokens_per_step says
  std::int64_t tokens_per_step = 1;   // K
  double threshold = 0.9;             // of the sampler "threshold"
  std::string stop_at = "auto";       // eos, length; auto = eos where there is one
  double entropy_floor = 0;           // nats; end a text that repeats itself; 0 = off
  std::int64_t entropy_restarts = 0;  // such a text is begun anew so often; 0 = it ends there
  std::string past_context = "stop";  // stop, slide: where a text reaches the model's length
  std::int64_t max_new_tokens = 0;    // 0 = the task's, or kDefaultNewTokens
  double temperature = 1.0;           // 0 = argmax
  std::int64_t top_k = 0;             // 0 = off
  double nucleus_p = 1.0;             // (0, 1], 1 = off
  std::string nucleus_rule = "keep";  // whether the token that crosses p is kept or dropped
  bool cache = true;                  // keep keys and values between tokens
  // Of Dream, LLaDA and what speeds them up (harness/whole_text_settings.h).
  std::string published = "none";         // none, dream, llada, fast_dllm
  std::string reveal_schedule = "exact";  // exact, dream
  double eps = 1e-3;                      // the schedule's last time
  double position_temperature = 0;        // above 0, positions are drawn; 0 = ranked
  double factor = 1;                      // of the sampler "factor"
  double guidance = 1;                    // classifier-free; 1 = off
  std::string suppress_eos = "none";      // none, never, last
  std::string stale_keys = "none";        // none, prefix, dual
  std::string verifier;  // autoregressive model of the samplers rerank and verified
  std::string adjust;    // folder of an ADJUST layer
  std::string filter_order = "top_k_first";  // top_k_first, nucleus_first
};

inline constexpr std::int64_t kDefaultNewTokens = 256;

// How a task with answers is put to a model.
struct AnswerSpec {
  std::int64_t shots = -1;    // exemplars of a prompt; -1 = the task's
  std::string exemplars;      // file of those that no data set holds
  std::string chat = "auto";  // on, off; auto = as the task is meant
  std::string turns = "exemplar";
  std::int64_t samples = 1;  // answers to each problem
  std::string extractor;     // whose verdict is a row's score; empty = the task's
};

// What generated text is measured with (harness/sample_quality.h).
struct QualitySpec {
  std::string judge = "auto";  // model; auto = an exact world's own law
  std::string judge_convention = "clean";
  std::int64_t judge_window = 0;   // 0 = the judge's longest, at most 1024
  std::int64_t judge_stride = 0;   // 0 = half a window
  std::string reference = "auto";  // auto = draws of an exact world
  std::string featurizer = "auto";
  std::int64_t mauve_seeds = 5;
  std::int64_t mauve_buckets = 0;
};

struct RunSpec {
  std::string model;
  std::string task;
  std::vector<std::string> metrics = {"auto"};  // auto = all that the task has
  std::string detokenizer = "auto";             // auto = the named set's own
  std::int64_t limit = 0;                       // documents; 0 = all
  std::int64_t block_size = 0;                  // L'; 0 = as the model was trained
  ScoringSpec scoring;
  EstimatorSpec estimator;
  SamplerSpec sampler;
  QualitySpec quality;
  AnswerSpec answers;
  std::int64_t batch_size = 8;
  std::string dtype = "f32";
  std::string device = "cpu";
  std::string linear_backend = "auto";
  std::string tokenizer;                  // folder; empty = the model's own
  std::string parameterization = "auto";  // of a diffusion transformer: auto, subs, sedd
  std::string noise_convention = "auto";  // auto, clipped, smoothed
  bool any_block_size = false;            // allow an L' that the model was not trained with
  std::uint64_t seed = 1;
  std::int64_t threads = 0;  // 0 = every core
};

// The settings of a model alone, of a likelihood run, of text generation, of a run that generates
// and measures text, or all of them.
enum class SpecPart { kModel, kScore, kGenerate, kSample, kAll };

const FieldTable<RunSpec>& run_fields(SpecPart part = SpecPart::kAll);

}  // namespace dlm
