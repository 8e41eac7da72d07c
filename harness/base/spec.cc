#include "harness/base/spec.h"

#include <limits>

namespace dlm {
namespace {

using limits::any;
using limits::one_of;
using limits::range;

using Row = Field<RunSpec>;

template <class T>
using Get = T& (*)(RunSpec&);

std::vector<Row> model_rows() {
  return {
      {"model", 'm',
       "model folder (Hugging Face form), data:FOLDER below DLMBENCH_DATA/data, or exact:WORLD",
       Get<std::string>([](RunSpec & s) -> auto& { return s.model; }), any(), Identity::kPart},
      {"dtype", 0, "dtype the network computes in; logits and sums are f32 and f64",
       Get<std::string>([](RunSpec & s) -> auto& { return s.dtype; }),
       one_of({"f32", "bf16", "f16"}), Identity::kPart},
      {"device", 0, "cpu, cuda or cuda:N",
       Get<std::string>([](RunSpec & s) -> auto& { return s.device; }), any(), Identity::kPart},
      {"linear_backend", 0,
       "matrix products by aten, onednn or our own loops (panels); auto = a fixed rule (see "
       "doctor); "
       "mapped: by aten from the mapped file, for models about as large as the memory",
       Get<std::string>([](RunSpec & s) -> auto& { return s.linear_backend; }),
       one_of({"auto", "aten", "onednn", "panels", "mapped"}), Identity::kPart},
      {"tokenizer", 0, "tokenizer folder, or data:FOLDER; empty = in the model folder",
       Get<std::string>([](RunSpec & s) -> auto& { return s.tokenizer; }), any(), Identity::kNot},
      {"parameterization", 0,
       "what a denoiser's output means; auto = by its config; raw: Dream and LLaDA as published, "
       "the "
       "mask a token among others",
       Get<std::string>([](RunSpec & s) -> auto& { return s.parameterization; }),
       one_of({"auto", "subs", "sedd", "raw"}), Identity::kPart},
      {"noise_convention", 0,
       "how it is told the noise level: clipped (bd3lms) or smoothed (mdlm, SEDD)",
       Get<std::string>([](RunSpec & s) -> auto& { return s.noise_convention; }),
       one_of({"auto", "clipped", "smoothed"}), Identity::kPart},
      {"any_block_size", 0, "allow a block size that the model was not trained with",
       Get<bool>([](RunSpec & s) -> auto& { return s.any_block_size; }), any(), Identity::kPart},
      {"batch_size", 'b', "sequences in one network pass",
       Get<std::int64_t>([](RunSpec & s) -> auto& { return s.batch_size; }), range(1, 65536),
       Identity::kPart},
      {"seed", 's', "every random draw is a function of it",
       Get<std::uint64_t>([](RunSpec & s) -> auto& { return s.seed; }), any(), Identity::kPart},
      {"threads", 0, "threads of the network and of host loops; 0 = every core",
       Get<std::int64_t>([](RunSpec & s) -> auto& { return s.threads; }), range(0, 4096),
       Identity::kNot},
  };
}

// Of likelihood and of generation alike.
std::vector<Row> block_rows() {
  return {
      {"block_size", 0, "L', tokens of a block; 0 = as the model was trained",
       Get<std::int64_t>([](RunSpec & s) -> auto& { return s.block_size; }), range(0, 1 << 24),
       Identity::kPart},
  };
}

// Of every run.
std::vector<Row> task_rows() {
  return {
      {"task", 't',
       "likelihood: a named set (see `data list`), text:FILE, jsonl:FILE?field=F, "
       "csv:FILE?column=N, draws:WORLD or tokens:FILE; text: "
       "samples:documents=N&length=L&prompt=TEXT (or prompt_ids=IDS), or a task with answers (see "
       "`prompt`)",
       Get<std::string>([](RunSpec & s) -> auto& { return s.task; }), any(), Identity::kPart},
      {"metrics", 0,
       "separated by commas; auto = all that the task has. Likelihood: nll, perplexity, "
       "bits_per_byte, word_perplexity, entropy, nll_minus_entropy, nelbo_variance. Samples: "
       "text_statistics, generative_perplexity, judge_nll_minus_entropy, mauve, kl_to_joint",
       Get<std::vector<std::string>>([](RunSpec & s) -> auto& { return s.metrics; }), any(),
       Identity::kNot},
      {"limit", 'n', "only the first N documents; 0 = all",
       Get<std::int64_t>([](RunSpec & s) -> auto& { return s.limit; }), range(0), Identity::kPart},
  };
}

// Of runs that can stop early.
std::vector<Row> target_rows() {
  return {
      {"estimator.target_ci", 0,
       "stop when the 95 % interval is this narrow: of a perplexity within this share of it, say "
       "0.5%; of an accuracy within this on either side, over problems in an order drawn by "
       "the seed; 0 = never",
       Get<double>([](RunSpec & s) -> auto& { return s.estimator.target_ci; }), range(0, 1),
       Identity::kPart},
  };
}

// How documents become the windows that are scored.
std::vector<Row> preparation_rows() {
  return {
      {"detokenizer", 0, "text clean-up before tokenising; auto = the set's own",
       Get<std::string>([](RunSpec & s) -> auto& { return s.detokenizer; }),
       one_of({"auto", "none", "wikitext", "ptb", "lm1b", "lambada", "scientific_papers"}),
       Identity::kPart},
      {"scoring.preset", 0,
       "the data preparation of a published table (see `data presets`); none = the settings below",
       Get<std::string>([](RunSpec & s) -> auto& { return s.scoring.preset; }), any(),
       Identity::kPart},
      {"scoring.packing", 0,
       "document: each alone (auto); packed: joined and cut into chunks; sliding: one stream, "
       "overlapping",
       Get<std::string>([](RunSpec & s) -> auto& { return s.scoring.packing; }),
       one_of({"auto", "document", "packed", "sliding"}), Identity::kPart},
      {"scoring.length", 'L', "window length in tokens; 0 = the preset's, or the model's longest",
       Get<std::int64_t>([](RunSpec & s) -> auto& { return s.scoring.length; }), range(0, 1 << 24),
       Identity::kPart},
      {"scoring.stride", 0, "advance of overlapping windows; 0 = length / 2",
       Get<std::int64_t>([](RunSpec & s) -> auto& { return s.scoring.stride; }), range(0, 1 << 24),
       Identity::kPart},
      {"scoring.bos", 0, "condition the first token on BOS: auto = where the tokenizer has one",
       Get<std::string>([](RunSpec & s) -> auto& { return s.scoring.bos; }),
       one_of({"auto", "add", "none"}), Identity::kPart},
      {"scoring.eos", 0, "packed: EOS after each document; auto = where the tokenizer has one",
       Get<std::string>([](RunSpec & s) -> auto& { return s.scoring.eos; }),
       one_of({"auto", "add", "none"}), Identity::kPart},
      {"scoring.chunk_ends", 0,
       "packed: add = every chunk is BOS, length - 2 tokens, EOS; auto = none",
       Get<std::string>([](RunSpec & s) -> auto& { return s.scoring.chunk_ends; }),
       one_of({"auto", "add", "none"}), Identity::kPart},
      {"scoring.remainder", 0,
       "packed: the last, shorter chunk: keep, or drop and count; auto = drop for diffusion models",
       Get<std::string>([](RunSpec & s) -> auto& { return s.scoring.remainder; }),
       one_of({"auto", "keep", "drop"}), Identity::kPart},
      {"scoring.documents_per_group", 0,
       "packed: join this many documents at a time, each group with a remainder; 0 = all together",
       Get<std::int64_t>([](RunSpec & s) -> auto& { return s.scoring.documents_per_group; }),
       range(0, 1 << 30), Identity::kPart},
      {"scoring.num_proc", 0,
       "packed: cut the documents into N shards first, as the published code does on N cores",
       Get<std::int64_t>([](RunSpec & s) -> auto& { return s.scoring.num_proc; }),
       range(1, 1 << 20), Identity::kPart},
      {"scoring.special_ids", 0,
       "BOS and EOS: own = the tokenizer's (auto); encoded = first id that encoding them gives",
       Get<std::string>([](RunSpec & s) -> auto& { return s.scoring.special_ids; }),
       one_of({"auto", "own", "encoded"}), Identity::kPart},
  };
}

// The option of a row is the last part of its key.
std::vector<Row> estimator_rows() {
  return {
      {"estimator.estimator", 'e',
       "exact (autoregressive), stratified, reference (as published), enumerate, order, "
       "llada and dream (as published); auto = "
       "exact, stratified for masked diffusion, reference for score entropy",
       Get<std::string>([](RunSpec & s) -> auto& { return s.estimator.name; }),
       one_of({"auto", "exact", "reference", "stratified", "enumerate", "order", "llada", "dream"}),
       Identity::kPart},
      {"estimator.draws", 0,
       "masks drawn for every block; 0 = the number that makes the target cheapest, or 2",
       Get<std::int64_t>([](RunSpec & s) -> auto& { return s.estimator.draws; }), range(0, 65536),
       Identity::kPart},
      {"estimator.replicates", 0,
       "independent groups of draws, from which the Monte-Carlo error is told; 0 = the "
       "estimator's own",
       Get<std::int64_t>([](RunSpec & s) -> auto& { return s.estimator.replicates; }),
       range(0, 65536), Identity::kPart},
      {"estimator.t_min", 0, "lowest noise level; -1 = 0.001 for reference, else 0",
       Get<double>([](RunSpec & s) -> auto& { return s.estimator.t_min; }), range(-1, 1),
       Identity::kPart},
      {"estimator.t_max", 0, "highest noise level",
       Get<double>([](RunSpec & s) -> auto& { return s.estimator.t_max; }), range(0, 1),
       Identity::kPart},
      {"estimator.first_token", 0,
       "the first token of a sequence: clean (given, not scored) or scored; auto = scored where "
       "the model defines it",
       Get<std::string>([](RunSpec & s) -> auto& { return s.estimator.first_token; }),
       one_of({"auto", "clean", "scored"}), Identity::kPart},
      {"estimator.strata", 0,
       "reference: strata of t rotated at random per sequence, or tied to row and block as "
       "published; llada: published rounds halves to even, which is biased",
       Get<std::string>([](RunSpec & s) -> auto& { return s.estimator.strata; }),
       one_of({"rotated", "published"}), Identity::kPart},
      {"estimator.strata_rows", 0, "published strata: sequences that share them",
       Get<std::int64_t>([](RunSpec & s) -> auto& { return s.estimator.strata_rows; }),
       range(0, 65536), Identity::kPart},
      {"estimator.schedule", 0, "reference: noise schedule; linear alone weighs every token by 1",
       Get<std::string>([](RunSpec & s) -> auto& { return s.estimator.schedule; }),
       one_of({"linear", "square", "square_root", "log", "cosine", "mdlm"}), Identity::kPart},
      {"estimator.reveal_order", 0,
       "order: left_to_right, right_to_left, spread, or positions of a block separated by ':'",
       Get<std::string>([](RunSpec & s) -> auto& { return s.estimator.reveal_order; }), any(),
       Identity::kPart},
      {"estimator.reveal_per_step", 0, "order: tokens revealed together",
       Get<std::int64_t>([](RunSpec & s) -> auto& { return s.estimator.reveal_per_step; }),
       range(1, 1 << 24), Identity::kPart},
  };
}

std::vector<Row> sampler_rows() {
  return {
      {"sampler.name", 0,
       "which positions a step reveals; auto = autoregressive where the model is, low_confidence "
       "for "
       "LLaDA, entropy for Dream, else first_hitting",
       Get<std::string>([](RunSpec & s) -> auto& { return s.sampler.name; }),
       one_of({"auto",
               "autoregressive",
               "first_hitting",
               "ancestral",
               "ancestral_reference",
               "random",
               "left_to_right",
               "confidence",
               "entropy",
               "margin",
               "threshold",
               "semi_autoregressive",
               "analytic",
               "factor",
               "factor_reference",
               "maskgit_plus",
               "low_confidence",
               "origin",
               "rerank",
               "verified"}),
       Identity::kPart},
      {"sampler.steps", 0, "T, steps of a block (of ancestral; of others in place of K); 0 = none",
       Get<std::int64_t>([](RunSpec & s) -> auto& { return s.sampler.steps; }), range(0, 1 << 24),
       Identity::kPart},
      {"sampler.tokens_per_step", 0, "K, tokens that a step reveals",
       Get<std::int64_t>([](RunSpec & s) -> auto& { return s.sampler.tokens_per_step; }),
       range(1, 1 << 24), Identity::kPart},
      {"sampler.threshold", 0, "of the sampler threshold: reveal what is more probable",
       Get<double>([](RunSpec & s) -> auto& { return s.sampler.threshold; }), range(0, 1),
       Identity::kPart},
      {"sampler.stop_at", 0, "eos: the end-of-text token; auto = eos where there is one",
       Get<std::string>([](RunSpec & s) -> auto& { return s.sampler.stop_at; }),
       one_of({"auto", "eos", "length"}), Identity::kPart},
      {"sampler.entropy_floor", 0,
       "end a text whose last 256 tokens have less unigram entropy, nats (bd3lms: 4); 0 = off",
       Get<double>([](RunSpec & s) -> auto& { return s.sampler.entropy_floor; }), range(0, 100),
       Identity::kPart},
      {"sampler.entropy_restarts", 0,
       "begin such a text anew with other draws, at most so often, then fail (bd3lms: 10); 0 = it "
       "ends",
       Get<std::int64_t>([](RunSpec & s) -> auto& { return s.sampler.entropy_restarts; }),
       range(0, 1000), Identity::kPart},
      {"sampler.past_context", 0,
       "where a text reaches the model's length: stop, or slide (the oldest blocks drop out)",
       Get<std::string>([](RunSpec & s) -> auto& { return s.sampler.past_context; }),
       one_of({"stop", "slide"}), Identity::kPart},
      {"sampler.max_new_tokens", 0,
       "stop after this many tokens; 0 = the task's own number, 256 without a task",
       Get<std::int64_t>([](RunSpec & s) -> auto& { return s.sampler.max_new_tokens; }),
       range(0, 1 << 24), Identity::kPart},
      {"sampler.temperature", 0, "0 = argmax, ties to the lowest id",
       Get<double>([](RunSpec & s) -> auto& { return s.sampler.temperature; }), range(0, 1000),
       Identity::kPart},
      {"sampler.top_k", 0, "keep the k most likely tokens; 0 = off",
       Get<std::int64_t>([](RunSpec & s) -> auto& { return s.sampler.top_k; }), range(0),
       Identity::kPart},
      {"sampler.nucleus_p", 0, "keep the most likely tokens up to this mass; 1 = off",
       Get<double>([](RunSpec & s) -> auto& { return s.sampler.nucleus_p; }),
       range(std::numeric_limits<double>::min(), 1), Identity::kPart},
      {"sampler.nucleus_rule", 0, "the token that crosses p: keep (transformers) or drop (bd3lms)",
       Get<std::string>([](RunSpec & s) -> auto& { return s.sampler.nucleus_rule; }),
       one_of({"keep", "drop"}), Identity::kPart},
      {"sampler.cache", 0, "keep keys and values between tokens",
       Get<bool>([](RunSpec & s) -> auto& { return s.sampler.cache; }), any(), Identity::kPart},
  };
}

// Of models that see the whole text. Folders count by their weights (the run's identity holds the
// digests).
std::vector<Row> whole_text_rows() {
  return {
      {"sampler.published", 0,
       "do as the published program does where that differs: dream, llada, fast_dllm (see the "
       "README)",
       Get<std::string>([](RunSpec & s) -> auto& { return s.sampler.published; }),
       one_of({"none", "dream", "llada", "fast_dllm"}), Identity::kPart},
      {"sampler.reveal_schedule", 0,
       "how many tokens a step reveals: exact (K), or dream (K - 1 at first, K + 1 at last)",
       Get<std::string>([](RunSpec & s) -> auto& { return s.sampler.reveal_schedule; }),
       one_of({"exact", "dream"}), Identity::kPart},
      {"sampler.eps", 0, "last time of the schedule dream and of the sampler origin",
       Get<double>([](RunSpec & s) -> auto& { return s.sampler.eps; }), range(0, 0.999),
       Identity::kPart},
      {"sampler.position_temperature", 0,
       "above 0, draw positions with weights exp(score / this) (Dream's alg_temp); 0 = the best",
       Get<double>([](RunSpec & s) -> auto& { return s.sampler.position_temperature; }),
       range(0, 1e6), Identity::kPart},
      {"sampler.factor", 0, "of the sampler factor: position i needs (i + 1)(1 - p) <= this",
       Get<double>([](RunSpec & s) -> auto& { return s.sampler.factor; }), range(1e-9, 1e6),
       Identity::kPart},
      {"sampler.guidance", 0,
       "logits u + this (c - u), u with the prompt hidden (LLaDA's cfg_scale + 1); 1 = off",
       Get<double>([](RunSpec & s) -> auto& { return s.sampler.guidance; }), range(0, 1e6),
       Identity::kPart},
      {"sampler.suppress_eos", 0,
       "the end of the text: never drawn, or revealed last, with the end of a turn",
       Get<std::string>([](RunSpec & s) -> auto& { return s.sampler.suppress_eos; }),
       one_of({"none", "never", "last"}), Identity::kPart},
      {"sampler.stale_keys", 0,
       "keep keys and values within a block, which changes the text: prefix, or dual (both sides)",
       Get<std::string>([](RunSpec & s) -> auto& { return s.sampler.stale_keys; }),
       one_of({"none", "prefix", "dual"}), Identity::kPart},
      {"sampler.verifier", 0,
       "autoregressive model, with the vocabulary of the denoiser, of the samplers rerank (commits "
       "from the better of two fills) and verified (commits what it agrees with)",
       Get<std::string>([](RunSpec & s) -> auto& { return s.sampler.verifier; }), any(),
       Identity::kNot},
      {"sampler.adjust", 0,
       "folder of an ADJUST layer of this model: a step's later tokens see its earlier ones",
       Get<std::string>([](RunSpec & s) -> auto& { return s.sampler.adjust; }), any(),
       Identity::kNot},
      {"sampler.filter_order", 0, "top-k before or after the nucleus",
       Get<std::string>([](RunSpec & s) -> auto& { return s.sampler.filter_order; }),
       one_of({"top_k_first", "nucleus_first"}), Identity::kPart},
  };
}

// What generated text is measured with. Folders and files count by their content (the run's
// identity holds their digests).
std::vector<Row> quality_rows() {
  return {
      {"quality.judge", 0,
       "model that judges the text (generative perplexity); auto = of an exact world, itself",
       Get<std::string>([](RunSpec & s) -> auto& { return s.quality.judge; }), any(),
       Identity::kNot},
      {"quality.judge_convention", 0, "which tokens count: clean, or as bd3lms or mdlm count",
       Get<std::string>([](RunSpec & s) -> auto& { return s.quality.judge_convention; }),
       one_of({"clean", "bd3lms", "mdlm"}), Identity::kPart},
      {"quality.judge_window", 0, "most tokens of a judge's pass; 0 = its longest, at most 1024",
       Get<std::int64_t>([](RunSpec & s) -> auto& { return s.quality.judge_window; }),
       range(0, 1 << 24), Identity::kPart},
      {"quality.judge_stride", 0, "advance of the judge's windows; 0 = half of one",
       Get<std::int64_t>([](RunSpec & s) -> auto& { return s.quality.judge_stride; }),
       range(0, 1 << 24), Identity::kPart},
      {"quality.reference", 0,
       "texts that MAUVE compares with: FILE, text:FILE, a named set or draws:WORLD; auto = of an "
       "exact world, its own draws",
       Get<std::string>([](RunSpec & s) -> auto& { return s.quality.reference; }), any(),
       Identity::kNot},
      {"quality.featurizer", 0,
       "what MAUVE sees of a text: a model folder, or ids:positions or ids:pairs, which need no "
       "model; auto = of an exact world, ids:positions",
       Get<std::string>([](RunSpec & s) -> auto& { return s.quality.featurizer; }), any(),
       Identity::kNot},
      {"quality.mauve_seeds", 0, "quantisations that MAUVE is the mean of",
       Get<std::int64_t>([](RunSpec & s) -> auto& { return s.quality.mauve_seeds; }),
       range(1, 1000), Identity::kPart},
      {"quality.mauve_buckets", 0, "clusters of MAUVE; 0 = a tenth of the smaller set",
       Get<std::int64_t>([](RunSpec & s) -> auto& { return s.quality.mauve_buckets; }),
       range(0, 1 << 20), Identity::kPart},
  };
}

std::vector<Row> answer_rows() {
  return {
      {"answers.shots", 0, "exemplars in a prompt; -1 = the task's own number",
       Get<std::int64_t>([](RunSpec & s) -> auto& { return s.answers.shots; }), range(-1, 1000),
       Identity::kPart},
      {"answers.exemplars", 0, "file of the exemplars that no data set holds: JSON lines",
       Get<std::string>([](RunSpec & s) -> auto& { return s.answers.exemplars; }), any(),
       Identity::kNot},
      {"answers.chat", 0, "prompts through the model's chat template; auto = where the task asks",
       Get<std::string>([](RunSpec & s) -> auto& { return s.answers.chat; }),
       one_of({"auto", "on", "off"}), Identity::kPart},
      {"answers.turns", 0,
       "in a chat: exemplar, a user and a model turn each; one, all in one user turn",
       Get<std::string>([](RunSpec & s) -> auto& { return s.answers.turns; }),
       one_of({"exemplar", "one"}), Identity::kPart},
      {"answers.samples", 0,
       "answers to each problem; above 1, pass@1, 10, 100 and N of programs, maj@8 and N of "
       "others, "
       "with intervals over problems",
       Get<std::int64_t>([](RunSpec & s) -> auto& { return s.answers.samples; }), range(1, 65536),
       Identity::kPart},
      {"answers.extractor", 0, "the one whose verdict is stored with a row; empty = the task's",
       Get<std::string>([](RunSpec & s) -> auto& { return s.answers.extractor; }), any(),
       Identity::kPart},
  };
}

std::vector<Row> joined(const std::vector<std::vector<Row>>& parts) {
  std::vector<Row> rows;
  for (const std::vector<Row>& part : parts) rows.insert(rows.end(), part.begin(), part.end());
  return rows;
}

}  // namespace

const FieldTable<RunSpec>& run_fields(SpecPart part) {
  static const FieldTable<RunSpec> model(model_rows());
  static const FieldTable<RunSpec> score(
      joined({model_rows(), block_rows(), task_rows(), preparation_rows(), estimator_rows(),
              target_rows()}));
  static const FieldTable<RunSpec> generate(
      joined({model_rows(), block_rows(), sampler_rows(), whole_text_rows()}));
  static const FieldTable<RunSpec> sample(
      joined({model_rows(), block_rows(), task_rows(), target_rows(), sampler_rows(),
              whole_text_rows(), quality_rows(), answer_rows()}));
  static const FieldTable<RunSpec> all(
      joined({score.fields(), sampler_rows(), whole_text_rows(), quality_rows(), answer_rows()}));
  switch (part) {
    case SpecPart::kModel:
      return model;
    case SpecPart::kScore:
      return score;
    case SpecPart::kGenerate:
      return generate;
    case SpecPart::kSample:
      return sample;
    default:
      return all;
  }
}

}  // namespace dlm
