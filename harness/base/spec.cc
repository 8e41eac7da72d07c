#include "harness/base/spec.h"

#include <limits>

namespace dlm {
namespace {

using Row = Field<RunSpec>;

template <class T>
using Get = T& (*)(RunSpec&);

constexpr double kInfinity = std::numeric_limits<double>::infinity();

FieldLimits any() {
  return {};
}

FieldLimits range(double low, double high = kInfinity) {
  return {low, high, {}};
}

FieldLimits one_of(std::vector<std::string> choices) {
  return {-kInfinity, kInfinity, std::move(choices)};
}

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
      {"linear_backend", 0, "matrix products by aten or onednn; auto = a fixed rule (see doctor)",
       Get<std::string>([](RunSpec & s) -> auto& { return s.linear_backend; }),
       one_of({"auto", "aten", "onednn"}), Identity::kPart},
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

std::vector<Row> score_rows() {
  return {
      {"task", 't',
       "named set (see `data list`), text:FILE, jsonl:FILE?field=F, csv:FILE?column=N, or "
       "draws:WORLD",
       Get<std::string>([](RunSpec & s) -> auto& { return s.task; }), any(), Identity::kPart},
      {"metrics", 0,
       "nll, perplexity, bits_per_byte, word_perplexity, separated by commas; auto = all that the "
       "task has",
       Get<std::vector<std::string>>([](RunSpec & s) -> auto& { return s.metrics; }), any(),
       Identity::kNot},
      {"detokenizer", 0, "text clean-up before tokenising; auto = the set's own",
       Get<std::string>([](RunSpec & s) -> auto& { return s.detokenizer; }),
       one_of({"auto", "none", "wikitext", "ptb", "lm1b", "lambada", "scientific_papers"}),
       Identity::kPart},
      {"limit", 'n', "only the first N documents; 0 = all",
       Get<std::int64_t>([](RunSpec & s) -> auto& { return s.limit; }), range(0), Identity::kPart},
      {"scoring.packing", 0,
       "document: each alone; packed: joined and cut into chunks; sliding: one stream, overlapping",
       Get<std::string>([](RunSpec & s) -> auto& { return s.scoring.packing; }),
       one_of({"document", "packed", "sliding"}), Identity::kPart},
      {"scoring.length", 'L', "window length in tokens; 0 = the model's longest",
       Get<std::int64_t>([](RunSpec & s) -> auto& { return s.scoring.length; }), range(0, 1 << 24),
       Identity::kPart},
      {"scoring.stride", 0, "advance of overlapping windows; 0 = length / 2",
       Get<std::int64_t>([](RunSpec & s) -> auto& { return s.scoring.stride; }), range(0, 1 << 24),
       Identity::kPart},
      {"scoring.bos", 0, "condition the first token on BOS: auto = where the tokenizer has one",
       Get<std::string>([](RunSpec & s) -> auto& { return s.scoring.bos; }),
       one_of({"auto", "add", "none"}), Identity::kPart},
  };
}

std::vector<Row> sampler_rows() {
  return {
      {"sampler.max_new_tokens", 0, "stop after this many tokens",
       Get<std::int64_t>([](RunSpec & s) -> auto& { return s.sampler.max_new_tokens; }),
       range(1, 1 << 24), Identity::kPart},
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

std::vector<Row> joined(std::vector<Row> rows, const std::vector<Row>& more) {
  rows.insert(rows.end(), more.begin(), more.end());
  return rows;
}

}  // namespace

const FieldTable<RunSpec>& run_fields(SpecPart part) {
  static const FieldTable<RunSpec> model(model_rows());
  static const FieldTable<RunSpec> score(joined(model_rows(), score_rows()));
  static const FieldTable<RunSpec> generate(joined(model_rows(), sampler_rows()));
  static const FieldTable<RunSpec> all(joined(joined(model_rows(), score_rows()), sampler_rows()));
  switch (part) {
    case SpecPart::kModel:
      return model;
    case SpecPart::kScore:
      return score;
    case SpecPart::kGenerate:
      return generate;
    default:
      return all;
  }
}

}  // namespace dlm
