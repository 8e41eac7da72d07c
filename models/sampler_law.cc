#include "models/sampler_law.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <span>
#include <unordered_map>
#include <utility>

#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>

#include "harness/base/error.h"
#include "models/adjust_layer.h"
#include "models/sampling/token_law.h"
#include "models/transformer/inference_scope.h"

namespace dlm {
namespace {

constexpr double kMostTexts = 16777216;  // 2^24
constexpr std::size_t kRowsPerRefresh = 1024;

using Tokens = std::vector<std::int64_t>;
using Texts = std::unordered_map<std::uint64_t, double>;  // a text's number -> its probability

// A text inside a step: what it still reveals.
struct Branch {
  Tokens text;
  double probability = 1;
  std::int64_t left = 0;             // reveals, where the policy ranks positions
  std::vector<RevealOutcome> plans;  // else: positions in order, one of them
};

class NetworkLawWalk {
 public:
  NetworkLawWalk(const BlockDenoiser& model, const AdjustNetwork* layer,
                 const SamplerLawOptions& options, const RevealPolicy& policy)
      : model_(model),
        hidden_(layer != nullptr ? &hidden_model_of(model) : nullptr),
        layer_(layer),
        options_(options),
        policy_(policy),
        size_(options.block_size) {
    DecoderOptions decoder{options.batch_size, size_, options.length};
    decoder.keeps_hidden = layer != nullptr;
    decoder_ = model.new_decoder(decoder);
  }

  std::vector<double> run() {
    const Tokens nothing(static_cast<std::size_t>(options_.length), model_.mask_id());
    Texts texts = {{number_of(nothing), 1.0}};
    for (; begin_ < options_.length; begin_ += size_) texts = finish_block(std::move(texts));
    const auto clean = static_cast<std::size_t>(model_.mask_id() < V() ? V() - 1 : V());
    const auto cells = std::pow(static_cast<double>(clean), static_cast<double>(options_.length));
    std::vector<double> law(static_cast<std::size_t>(std::llround(cells)), 0.0);
    for (const auto& [number, probability] : texts) {
      std::size_t cell = 0;
      for (const std::int64_t id : text_of(number))
        cell = cell * clean + static_cast<std::size_t>(id > model_.mask_id() ? id - 1 : id);
      law[cell] += probability;
    }
    return law;
  }

 private:
  std::int64_t V() const { return model_.info().vocab_size; }

  // Ids and the mask, which may be one of them or the next.
  std::uint64_t symbols() const {
    return static_cast<std::uint64_t>(std::max(V(), model_.mask_id() + 1));
  }

  std::uint64_t number_of(const Tokens& text) const {
    std::uint64_t number = 0;
    for (const std::int64_t id : text) number = number * symbols() + static_cast<std::uint64_t>(id);
    return number;
  }

  Tokens text_of(std::uint64_t number) const {
    Tokens text(static_cast<std::size_t>(options_.length));
    for (std::size_t i = text.size(); i-- > 0; number /= symbols())
      text[i] = static_cast<std::int64_t>(number % symbols());
    return text;
  }

  std::span<const std::int64_t> block_of(const Tokens& text) const {
    return std::span(text).subspan(static_cast<std::size_t>(begin_),
                                   static_cast<std::size_t>(size_));
  }

  Tokens hidden_in(const Tokens& text) const {
    Tokens hidden;
    const auto block = block_of(text);
    for (std::int64_t i = 0; i < size_; ++i) {
      if (block[static_cast<std::size_t>(i)] == model_.mask_id())
        hidden.push_back(i);
    }
    return hidden;
  }

  // Texts whose block is all hidden -> texts whose block is full. In the order of their numbers, so
  // that sums do not depend on a hash table's order.
  Texts finish_block(Texts texts) {
    Texts full;
    for (step_ = 0; !texts.empty(); ++step_) {
      next_.clear();
      std::vector<std::pair<std::uint64_t, double>> ordered(texts.begin(), texts.end());
      std::sort(ordered.begin(), ordered.end());
      const auto most = static_cast<std::size_t>(options_.batch_size);
      for (std::size_t first = 0; first < ordered.size(); first += most)
        spread_texts(std::span(ordered).subspan(first, std::min(most, ordered.size() - first)));
      texts.clear();
      for (const auto& [number, probability] : next_)
        (hidden_in(text_of(number)).empty() ? full : texts)[number] += probability;
    }
    return full;
  }

  // One pass over texts, and all that their steps may reveal.
  void spread_texts(std::span<const std::pair<std::uint64_t, double>> texts) {
    const InferenceScope scope;
    std::vector<Branch> branches;
    std::vector<Tokens> wanted;
    for (const auto& [number, probability] : texts) {
      branches.push_back({text_of(number), probability, 0, {}});
      wanted.push_back(hidden_in(branches.back().text));
    }
    std::vector<DecodeStep> steps;
    for (std::size_t i = 0; i < branches.size(); ++i) {
      const auto row = static_cast<std::int64_t>(i);
      decoder_->clear(row);
      DecodeStep step{row, std::span(branches[i].text).first(static_cast<std::size_t>(begin_)),
                      block_of(branches[i].text), wanted[i], share_of(wanted[i])};
      if (model_.sees_whole_text())
        step.masks_behind = options_.length - begin_ - size_;
      steps.push_back(step);
    }
    const std::span<float> logits = decoder_->step(steps);
    std::size_t at = 0;
    for (std::size_t i = 0; i < branches.size(); ++i) {
      begin_step(branches[i], logits.subspan(at));
      at += wanted[i].size() * static_cast<std::size_t>(V());
    }
    if (layer_ == nullptr) {
      spread_apart(branches, logits);
      return;
    }
    std::vector<at::Tensor> states;
    for (std::size_t i = 0; i < branches.size(); ++i) {
      const RowStates of = decoder_->hidden_source()->hidden(static_cast<std::int64_t>(i));
      first_ = of.first;
      states.push_back(of.states);
    }
    spread_refreshed(branches, at::stack(states), logits, wanted);
  }

  double share_of(const Tokens& hidden) const {
    return static_cast<double>(hidden.size()) / static_cast<double>(size_);
  }

  // `logits` begin with those of the branch's hidden positions.
  void begin_step(Branch& branch, std::span<float> logits) {
    const Tokens hidden = hidden_in(branch.text);
    const BlockState state{hidden, size_, step_, 1};
    if (!policy_.reads_laws()) {
      branch.plans = layer_ != nullptr ? policy_.ordered_outcomes(state) : policy_.outcomes(state);
      std::erase_if(branch.plans, [&](const RevealOutcome& plan) {
        if (plan.positions.empty())
          next_[number_of(branch.text)] += branch.probability * plan.probability;
        return plan.positions.empty();
      });
      return;
    }
    std::vector<double> scores = scores_of(hidden, logits);
    std::sort(scores.begin(), scores.end(), std::greater<>());
    branch.left = policy_.count(state, scores);
  }

  TokenLaw law_of(std::span<float> logits, std::size_t row) const {
    const std::span<float> own =
        logits.subspan(row * static_cast<std::size_t>(V()), static_cast<std::size_t>(V()));
    for (const std::int64_t id : options_.banned_ids)
      own[static_cast<std::size_t>(id)] = -std::numeric_limits<float>::infinity();
    return token_law(own, options_.filter);
  }

  std::vector<double> scores_of(const Tokens& positions, std::span<float> logits) const {
    std::vector<double> scores;
    for (std::size_t i = 0; i < positions.size(); ++i)
      scores.push_back(policy_.score(law_of(logits, i)));
    return scores;
  }

  // Rows of `logits` in the order in which the policy would reveal them.
  std::vector<std::size_t> ranked(const Tokens& positions, std::span<float> logits) const {
    const std::vector<double> scores = scores_of(positions, logits);
    std::vector<std::size_t> order(scores.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
    return order;
  }

  // Without a layer a step's tokens are independent.
  void spread_apart(std::span<const Branch> branches, std::span<float> logits) {
    for (const Branch& branch : branches) {
      const Tokens hidden = hidden_in(branch.text);
      const auto count = hidden.size() * static_cast<std::size_t>(V());
      laws_.assign(static_cast<std::size_t>(size_), {});
      for (std::size_t i = 0; i < hidden.size(); ++i)
        laws_[static_cast<std::size_t>(hidden[i])] = law_of(logits, i);
      Tokens text = branch.text;
      if (policy_.reads_laws()) {
        std::vector<std::size_t> order = ranked(hidden, logits);
        order.resize(static_cast<std::size_t>(branch.left));
        Tokens positions;
        for (const std::size_t i : order) positions.push_back(hidden[i]);
        draw_apart(text, positions, branch.probability);
      }
      for (const RevealOutcome& plan : branch.plans)
        draw_apart(text, plan.positions, branch.probability * plan.probability);
      logits = logits.subspan(count);
    }
  }

  void draw_apart(Tokens& text, std::span<const std::int64_t> positions, double probability) {
    if (positions.empty()) {
      next_[number_of(text)] += probability;
      return;
    }
    const TokenLaw& law = laws_[static_cast<std::size_t>(positions.front())];
    std::int64_t& place = text[static_cast<std::size_t>(begin_ + positions.front())];
    for (std::size_t i = 0; i < law.tokens.size(); ++i) {
      place = law.tokens[i];
      draw_apart(text, positions.subspan(1), probability * law.probabilities[i]);
    }
    place = model_.mask_id();
  }

  // states (branches, S, D); logits are those of `wanted`, branch after branch.
  void spread_refreshed(std::span<const Branch> branches, const at::Tensor& states,
                        std::span<float> logits, std::span<const Tokens> wanted) {
    std::vector<Branch> children;
    std::vector<std::int64_t> parents;
    const auto flush = [&] {
      if (children.empty())
        return;
      const at::Tensor own = states.index_select(0, index_tensor(parents, states.device()));
      refresh(children, own);
      children.clear();
      parents.clear();
    };
    for (std::size_t b = 0; b < branches.size(); ++b) {
      for (Branch& child : first_reveals(branches[b], wanted[b], logits)) {
        if (child.left == 0 && child.plans.empty()) {
          next_[number_of(child.text)] += child.probability;
          continue;
        }
        children.push_back(std::move(child));
        parents.push_back(static_cast<std::int64_t>(b));
        if (children.size() == kRowsPerRefresh)
          flush();
      }
      logits = logits.subspan(wanted[b].size() * static_cast<std::size_t>(V()));
    }
    flush();
  }

  // A branch after its next reveal, one for each position and token.
  std::vector<Branch> first_reveals(const Branch& branch, const Tokens& wanted,
                                    std::span<float> logits) const {
    std::vector<Branch> children;
    const auto reveal = [&](std::size_t row, Branch next) {
      const TokenLaw law = law_of(logits, row);
      const double probability = next.probability;
      for (std::size_t i = 0; i < law.tokens.size(); ++i) {
        next.text[static_cast<std::size_t>(begin_ + wanted[row])] = law.tokens[i];
        next.probability = probability * law.probabilities[i];
        if (next.probability > 0)
          children.push_back(next);
      }
    };
    if (policy_.reads_laws()) {
      reveal(ranked(wanted, logits).front(),
             {branch.text, branch.probability, branch.left - 1, {}});
      return children;
    }
    for (std::size_t row = 0; row < wanted.size(); ++row) {
      Branch next{branch.text, 0, 0, {}};
      for (const RevealOutcome& plan : branch.plans) {
        if (plan.positions.front() != wanted[row])
          continue;
        next.probability += plan.probability;
        if (plan.positions.size() > 1)
          next.plans.push_back(
              {{plan.positions.begin() + 1, plan.positions.end()}, plan.probability});
      }
      if (next.probability == 0)
        continue;
      for (RevealOutcome& plan : next.plans) plan.probability /= next.probability;
      next.probability *= branch.probability;
      reveal(row, std::move(next));
    }
    return children;
  }

  // One pass of the layer over branches with states (n, S, D), then what follows it.
  void refresh(std::span<const Branch> branches, const at::Tensor& states) {
    const std::int64_t length = states.size(1);
    at::Tensor ids = at::full({std::ssize(branches), length}, model_.mask_id(), at::kLong);
    auto* out = ids.mutable_data_ptr<std::int64_t>();
    std::vector<Tokens> wanted;
    std::vector<std::int64_t> rows;
    for (std::size_t b = 0; b < branches.size(); ++b) {
      const auto at = static_cast<std::int64_t>(b) * length;
      const Branch& branch = branches[b];
      std::copy_n(branch.text.begin() + first_, length, out + at);
      wanted.push_back(policy_.reads_laws() ? hidden_in(branch.text) : next_positions(branch));
      for (const std::int64_t position : wanted.back())
        rows.push_back(at + begin_ - first_ + position);
    }
    const std::vector<std::int64_t> lengths(branches.size(), length);
    PackedRows packed = pack_rows(ids, lengths, {}, V());
    see_both_ways(packed, {});
    const at::Tensor next =
        adjust_pass(*layer_, *hidden_, packed, states.reshape({packed.tokens, states.size(2)}));
    at::Tensor logits =
        hidden_->head_logits_of(next.index_select(0, index_tensor(rows, next.device())))
            .cpu()
            .contiguous();
    const auto values = static_cast<std::size_t>(logits.numel());
    spread_refreshed(branches, next.view(states.sizes()),
                     {logits.mutable_data_ptr<float>(), values}, wanted);
  }

  // Where a branch's next reveal may be, ascending.
  static Tokens next_positions(const Branch& branch) {
    Tokens positions;
    for (const RevealOutcome& plan : branch.plans) positions.push_back(plan.positions.front());
    std::sort(positions.begin(), positions.end());
    positions.erase(std::unique(positions.begin(), positions.end()), positions.end());
    return positions;
  }

  const BlockDenoiser& model_;
  const HiddenModel* hidden_;
  const AdjustNetwork* layer_;
  const SamplerLawOptions& options_;
  const RevealPolicy& policy_;
  std::int64_t size_;
  std::unique_ptr<BlockDecoder> decoder_;
  std::int64_t begin_ = 0;  // of the current block
  std::int64_t step_ = 0;   // of the block
  std::int64_t first_ = 0;  // where the states of a text begin
  std::vector<TokenLaw> laws_;
  Texts next_;
};

void check_law_options(const BlockDenoiser& model, const SamplerLawOptions& options,
                       const RevealPolicy& policy) {
  check_token_filter(options.filter);
  if (options.filter.temperature == 0)
    throw ConfigError("temperature", "0", "above 0: a law is enumerated, not its best text");
  if (policy.reads_draws() || options.reveal.position_temperature > 0 ||
      options.reveal.first_alone || options.reveal.schedule != "exact" ||
      options.reveal.policy == "ancestral_reference")
    throw ConfigError("sampler", options.reveal.policy,
                      "one whose reveals follow from the laws alone, in even steps");
  if (options.length < 1 || options.block_size < 1 || options.length % options.block_size != 0)
    throw ConfigError("block_size", fmt::to_string(options.block_size),
                      fmt::format("a divisor of the length {}", options.length));
  if (options.reveal.tokens_per_step > options.block_size)
    throw ConfigError("tokens_per_step", fmt::to_string(options.reveal.tokens_per_step),
                      fmt::format("at most the block, {} tokens", options.block_size));
  if (options.batch_size < 1)
    throw ConfigError("batch_size", fmt::to_string(options.batch_size), "an integer >= 1");
  const auto symbols = std::max(model.info().vocab_size, model.mask_id() + 1);
  const double texts = std::pow(static_cast<double>(symbols), static_cast<double>(options.length));
  if (texts > kMostTexts)
    throw ConfigError("length", fmt::to_string(options.length),
                      fmt::format("(v + 1)^L at most {}: texts are enumerated", kMostTexts));
  for (const std::int64_t id : options.banned_ids) {
    if (id < 0 || id >= model.info().vocab_size)
      throw ConfigError("banned_ids", fmt::to_string(id),
                        fmt::format("ids in [0, {})", model.info().vocab_size));
  }
}

}  // namespace

std::vector<double> sampler_law(const BlockDenoiser& model, const AdjustNetwork* layer,
                                const SamplerLawOptions& options) {
  SamplerLawOptions whole = options;
  if (whole.block_size == 0)
    whole.block_size = whole.length;
  const auto policy = make_reveal_policy(whole.reveal);
  check_law_options(model, whole, *policy);
  return NetworkLawWalk(model, layer, whole, *policy).run();
}

}  // namespace dlm
