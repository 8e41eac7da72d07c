#include "models/sampling/block_row.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "harness/base/error.h"

namespace dlm {
namespace {

// Steps of one block; only a hook that hides tokens again can come near.
constexpr std::int64_t kMostSteps = std::int64_t{1} << 20;

// Positions of a text are below it, in the names of draws.
constexpr int kPositionBits = 40;

// The largest logit's index, and how far the next one is below it.
DrawnToken best_logit(std::span<const float> logits) {
  const std::int64_t best = argmax_token(logits);
  double margin = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (static_cast<std::int64_t>(i) != best) {
      margin = std::min(margin, static_cast<double>(logits[static_cast<std::size_t>(best)]) -
                                    static_cast<double>(logits[i]));
    }
  }
  return {best, margin};
}

std::int64_t lowest_outside(const TokenLaw& law, std::int64_t vocab_size, std::int64_t mask_id) {
  for (std::int64_t id = 0; id < vocab_size; ++id) {
    if (id != mask_id && !std::binary_search(law.tokens.begin(), law.tokens.end(), id))
      return id;
  }
  return 0;
}

}  // namespace

BlockRow::BlockRow(const RowContext& context, const Prompt& prompt, BlockSample& out)
    : context_(context),
      prompt_(prompt),
      out_(out),
      tokens_(context.options.seed, Purpose::kTokenDraw, prompt.example, prompt.replicate),
      places_(context.options.seed, Purpose::kPositionDraw, prompt.example, prompt.replicate),
      ids_(prompt.ids),
      canvas_(std::ssize(prompt.ids) + context.options.max_new_tokens),
      step_(context.options.first_step) {
  out_.prompt_tokens = std::ssize(prompt.ids);
  const bool is_whole = std::find(ids_.begin(), ids_.end(), context.mask_id) == ids_.end();
  if (context.canvas && is_whole)
    begin_ = out_.prompt_tokens;
}

BlockState BlockRow::state() const {
  return {hidden_, size_ - std::ssize(given_), block_step_, t_};
}

bool BlockRow::prepare() {
  while (live_) {
    if (hidden_.empty()) {
      if (!next_block())
        return false;
      continue;
    }
    if (block_step_ >= kMostSteps)
      fail(begin_ + hidden_.front(), "a block that does not end");
    left_ = -1;
    source_ = context_.policy.source(state());
    reads_laws_ = context_.policy.reads_laws_at(state());
    if (reads_laws_ && context_.policy.idles(state())) {
      ++block_step_;
      ++step_;
      continue;
    }
    if (reads_laws_) {
      t_ = static_cast<double>(hidden_.size()) / static_cast<double>(size_ - std::ssize(given_));
      wanted_ = hidden_;
      return true;
    }
    Reveal reveal = context_.policy.choose(state(), {places_, step_});
    t_ = reveal.t;
    if (reveal.positions.empty()) {
      ++block_step_;
      ++step_;
      continue;
    }
    plan_ = std::move(reveal.positions);
    left_ = std::ssize(plan_);
    // With refreshes in between, the pass gives the law of the first reveal only.
    wanted_ = context_.options.hooks.refresh != nullptr ? std::vector{plan_.front()} : plan_;
    std::sort(wanted_.begin(), wanted_.end());
    return true;
  }
  return false;
}

bool BlockRow::next_block() {
  if (open_)
    close_block();
  if (!live_)
    return false;
  if (begin_ >= canvas_) {
    finish(FinishReason::kLength, canvas_);
    return false;
  }
  size_ = context_.block_size;
  if (context_.canvas && begin_ < out_.prompt_tokens)
    size_ = std::min(out_.prompt_tokens + context_.block_size, canvas_);
  const std::int64_t size = size_;
  const std::int64_t limit = context_.info.max_length;
  if (limit > 0 && begin_ + size > limit && context_.options.past_context == PastContext::kStop) {
    finish(FinishReason::kContext, std::max(begin_, out_.prompt_tokens));
    return false;
  }
  ids_.resize(static_cast<std::size_t>(std::max(std::ssize(ids_), begin_ + size)),
              context_.mask_id);
  passes_.resize(ids_.size());
  hidden_.clear();
  given_.clear();
  for (std::int64_t i = 0; i < size; ++i) {
    const bool hides = ids_[static_cast<std::size_t>(begin_ + i)] == context_.mask_id;
    (hides ? hidden_ : given_).push_back(i);
  }
  block_step_ = 0;
  t_ = 1;
  open_ = true;
  return true;
}

void BlockRow::close_block() {
  open_ = false;
  begin_ += size_;
  // A block that is generated whole but only partly asked for ends at what was asked for.
  const std::int64_t end = std::min(begin_, canvas_);
  const auto text = std::span(ids_).first(static_cast<std::size_t>(end));
  const auto stop = find_stop(text, out_.prompt_tokens, checked_, context_.options.stop);
  checked_ = end;
  if (stop)
    finish(finish_reason_of(stop->reason), stop->length);
}

void BlockRow::finish(FinishReason reason, std::int64_t length) {
  live_ = false;
  ids_.resize(static_cast<std::size_t>(length));
  passes_.resize(ids_.size());
  out_.ids = std::move(ids_);
  out_.revealed_in = std::move(passes_);
  out_.finish = reason;
}

DecodeStep BlockRow::step(std::int64_t row) const {
  const auto all = std::span(ids_);
  const auto part = [&](std::int64_t from, std::int64_t to) {
    return all.subspan(static_cast<std::size_t>(from), static_cast<std::size_t>(to - from));
  };
  DecodeStep step{row, part(stored_, begin_), part(begin_, begin_ + size_), wanted_, t_};
  if (context_.canvas) {
    step.masks_behind = canvas_ - begin_ - size_;
    step.prompt = prompt_.ids;
  }
  return step;
}

void BlockRow::passed() {
  stored_ = begin_;
  ++out_.nfe;
}

std::span<float> BlockRow::row_of(std::span<float> logits, std::int64_t position) const {
  const auto place = std::lower_bound(wanted_.begin(), wanted_.end(), position);
  DLM_CHECK(place != wanted_.end() && *place == position, "no logits of position {}", position);
  const auto V = static_cast<std::size_t>(context_.info.vocab_size);
  return logits.subspan(static_cast<std::size_t>(place - wanted_.begin()) * V, V);
}

double BlockRow::score_of(std::span<const float> logits, std::int64_t position) const {
  TokenFilter filter = context_.options.filter;
  if (filter.temperature == 0)
    filter.temperature = 1;
  const double score = context_.policy.reads_draws()
                           ? drawn_score(logits, position)
                           : context_.policy.score(token_law(logits, filter));
  const double temperature = context_.options.reveal.position_temperature;
  if (temperature == 0)
    return score;
  // The largest of score / temperature + Gumbel noise are draws without replacement.
  const double u = places_.uniform(step_, draw_name(position));
  return score / temperature - std::log(-std::log(std::max(u, 1e-300)));
}

// The score of the token that the position draws.
double BlockRow::drawn_score(std::span<const float> logits, std::int64_t position) const {
  const std::int64_t token = drawn(logits, position).token;
  TokenFilter filter;
  if (context_.policy.ranking_law() == RankingLaw::kFiltered) {
    filter = context_.options.filter;
    if (filter.temperature == 0)
      filter.temperature = 1;
  }
  if (context_.options.late_ids.empty())
    return context_.policy.draw_score(token_law(logits, filter), token);
  std::vector<float> others(logits.begin(), logits.end());
  for (const std::int64_t id : context_.options.late_ids)
    others[static_cast<std::size_t>(id)] = -std::numeric_limits<float>::infinity();
  return context_.policy.draw_score(token_law(others, filter), token);
}

// Hidden positions by falling score; decides how many this step reveals.
std::vector<std::int64_t> BlockRow::ranked(std::span<float> logits) {
  std::vector<double> scores;
  for (const std::int64_t position : hidden_)
    scores.push_back(score_of(row_of(logits, position), position));
  std::vector<std::size_t> order(hidden_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  std::vector<double> sorted;
  std::vector<std::int64_t> positions;
  for (const std::size_t i : order) {
    sorted.push_back(scores[i]);
    positions.push_back(hidden_[i]);
  }
  if (left_ < 0)
    left_ = context_.policy.count(state(), sorted);
  DLM_CHECK(left_ >= 1 && left_ <= std::ssize(hidden_), "{} of {} positions to reveal", left_,
            hidden_.size());
  if (left_ < std::ssize(hidden_)) {
    const auto next = static_cast<std::size_t>(left_);
    note(sorted[next - 1] - sorted[next]);
  }
  return positions;
}

bool BlockRow::reveal(std::span<float> logits, std::int64_t most) {
  ban(logits);
  if (reads_laws_) {
    try {
      plan_ = ranked(logits);
    } catch (const InternalError& error) {
      fail(begin_, error.what());
    }
    if (context_.options.hooks.choice != nullptr)
      return take_choice(logits);
  }
  const std::int64_t count = std::min(most, left_);
  for (std::int64_t i = 0; i < count; ++i) draw(logits, plan_[static_cast<std::size_t>(i)]);
  plan_.erase(plan_.begin(), plan_.begin() + count);
  left_ -= count;
  return left_ > 0;
}

void BlockRow::draw(std::span<float> logits, std::int64_t position) {
  DrawnToken token;
  try {
    token = drawn(row_of(logits, position), position);
  } catch (const InternalError& error) {
    fail(begin_ + position, error.what());
  }
  if (token.token == context_.mask_id) {
    if (!mask_may_stay())
      fail(begin_ + position, "the mask was drawn");
    mask_drawn_ = true;
    return;
  }
  note(token.margin);
  write(position, token.token);
}

void BlockRow::write(std::int64_t position, std::int64_t token) {
  ids_[static_cast<std::size_t>(begin_ + position)] = token;
  passes_[static_cast<std::size_t>(begin_ + position)] = out_.nfe;
  hidden_.erase(std::lower_bound(hidden_.begin(), hidden_.end(), position));
  revealed_ = position;
  ++out_.canvas;
}

// As many steps as tokens, or as were asked for; then the block has to end.
bool BlockRow::mask_may_stay() const {
  const std::int64_t steps = std::max(size_ - std::ssize(given_), context_.options.reveal.steps);
  return context_.canvas && block_step_ + 1 < steps;
}

void BlockRow::ban(std::span<float> logits) const {
  std::vector<std::int64_t> banned = context_.options.banned_ids;
  if (context_.canvas && !mask_may_stay())
    banned.push_back(context_.mask_id);
  const auto V = static_cast<std::size_t>(context_.info.vocab_size);
  for (const std::int64_t id : banned) {
    for (std::size_t at = static_cast<std::size_t>(id); at < logits.size(); at += V)
      logits[at] = -std::numeric_limits<float>::infinity();
  }
}

// Writes what the hook chooses: a step's whole reveal.
bool BlockRow::take_choice(std::span<float> logits) {
  ChoiceView view;
  view.name = {prompt_.example, prompt_.replicate, step_, begin_};
  view.ids = ids_;
  view.begin = begin_;
  view.hidden = hidden_;
  for (const std::int64_t position : hidden_) view.logits.push_back(row_of(logits, position));
  view.ranked = plan_;
  view.count = left_;
  const std::vector<ChosenToken> chosen = context_.options.hooks.choice->choose(view);
  DLM_CHECK(!chosen.empty(), "{} positions, none chosen", hidden_.size());
  for (const ChosenToken& one : chosen) {
    DLM_CHECK(std::binary_search(hidden_.begin(), hidden_.end(), one.position) &&
                  one.token != context_.mask_id,
              "token {} chosen at position {}", one.token, one.position);
    write(one.position, one.token);
  }
  plan_.clear();
  left_ = 0;
  return false;
}

DrawnToken BlockRow::drawn(std::span<const float> logits, std::int64_t position) const {
  const TokenFilter& filter = context_.options.filter;
  if (filter.temperature == 0)
    return best_logit(logits);
  if (source_ == TokenSource::kLowestOutside) {
    const TokenLaw law = token_law(logits, filter);
    return {lowest_outside(law, context_.info.vocab_size, context_.mask_id), law.margin};
  }
  const DrawName name{prompt_.example, prompt_.replicate, step_, begin_ + position};
  if (context_.options.hooks.draws != nullptr)
    return context_.options.hooks.draws->draw(token_law(logits, filter), name);
  return draw_from_logits(logits, filter, tokens_.uniform(step_, draw_name(name.position)));
}

// In the step. Draws that an earlier look at the step's laws was decided by are never asked again:
// what they were is known.
std::uint64_t BlockRow::draw_name(std::int64_t position) const {
  return look_ << kPositionBits | static_cast<std::uint64_t>(position);
}

RefreshRow BlockRow::refresh_row(std::int64_t row, std::span<float> logits) {
  wanted_ = reads_laws_ ? hidden_ : std::vector{plan_.front()};
  if (context_.policy.reads_draws() || context_.options.reveal.position_temperature > 0 ||
      mask_drawn_)
    ++look_;
  RefreshRow view{row, ids_, begin_, revealed_, hidden_, wanted_, {}, 0};
  if (context_.canvas)
    view.masks_behind = canvas_ - begin_ - size_;
  for (const std::int64_t position : wanted_) view.logits.push_back(row_of(logits, position));
  ++out_.refreshes;
  return view;
}

void BlockRow::finish_step() {
  Remask* const remask = context_.options.hooks.remask;
  if (remask != nullptr) {
    const auto block = std::span<const std::int64_t>(ids_).subspan(static_cast<std::size_t>(begin_),
                                                                   static_cast<std::size_t>(size_));
    for (const std::int64_t position : remask->hide_again({block, given_, block_step_})) {
      DLM_CHECK(position >= 0 && position < size_ &&
                    !std::binary_search(given_.begin(), given_.end(), position),
                "position {} cannot be hidden again", position);
      ids_[static_cast<std::size_t>(begin_ + position)] = context_.mask_id;
      const auto place = std::lower_bound(hidden_.begin(), hidden_.end(), position);
      if (place == hidden_.end() || *place != position)
        hidden_.insert(place, position);
    }
  }
  look_ = 0;
  mask_drawn_ = false;
  ++block_step_;
  ++step_;
}

void BlockRow::note(double margin) {
  out_.margin = std::min(out_.margin, margin);
}

void BlockRow::fail(std::int64_t position, const char* what) const {
  throw InternalError(fmt::format("{} model, example {}, position {}: {}", context_.info.family,
                                  prompt_.example, position, what));
}

}  // namespace dlm
