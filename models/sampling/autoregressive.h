// Text from an autoregressive model, a batch of prompts at a time. Neither times nor stores: the
// model counts its passes, the caller keeps what comes back. Torch-free header.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "models/language_model.h"
#include "models/sampling/stop_rules.h"
#include "models/sampling/token_filter.h"

namespace dlm {

// What to continue. Two prompts of the same (example, replicate) and seed see the same random
// numbers; the place in the list does not matter.
struct Prompt {
  std::vector<std::int64_t> ids = {};  // may be empty where the model scores its first token
  std::uint64_t example = 0;
  std::uint64_t replicate = 0;
};

enum class CacheUse {
  kOn,   // each pass computes the new token only
  kOff,  // each pass computes the whole sequence again: the reference the cache is tested against
};

// What happens where a text reaches the model's max_length.
enum class PastContext {
  kStop,
  // The oldest drop out of the context: blocks of a BlockDecoder one by one; token by token the
  // older half of the context, and the rest is encoded anew.
  kSlide,
};

struct GenerateOptions {
  std::int64_t max_new_tokens = 128;
  TokenFilter filter = {};
  std::vector<std::int64_t> stop_ids = {};  // a token that ends the text, e.g. the model's eos_id
  double entropy_floor = 0;                 // as StopRules
  const TextStop* text_stop = nullptr;
  PastContext past_context = PastContext::kStop;
  CacheUse cache = CacheUse::kOn;
  std::int64_t batch_size = 8;  // prompts of one network pass; changes no result
  std::uint64_t seed = 1;
};

enum class FinishReason {
  kStop,     // a stop id was drawn; it is the last of `ids`
  kLength,   // max_new_tokens were drawn
  kContext,  // prompt and new tokens together fill the model's max_length
  kEntropy,  // the last tokens repeat themselves (stop_rules.h); they are dropped
  kText,     // StopRules::text said so
};

// "stop", "length", "context", "entropy" or "text".
std::string_view finish_reason_name(FinishReason reason);

FinishReason finish_reason_of(Stop stop);

struct Continuation {
  std::vector<std::int64_t> ids;  // new tokens only
  FinishReason finish = FinishReason::kLength;
  std::int64_t nfe = 0;  // passes this prompt took part in: one per new token
};

// Continues every prompt; result[i] belongs to prompts[i]. Token number s (from 0) of a prompt is
// drawn with RandomStream(seed, Purpose::kTokenDraw, example, replicate).uniform(s, 0) from the
// law that `filter` makes of the model's logits, so a result depends on batch size, order of
// prompts and cache only as far as the logits' rounding does. A finished row costs no further
// computation that the model can leave out (its length is 0 in the passes that remain).
// Throws ConfigError for an option out of range, an id outside [0, V), an empty prompt that the
// model cannot continue or one longer than its max_length; InternalError naming the model's family,
// the example and the position where the model returns NaN.
std::vector<Continuation> generate(const AutoregressiveModel& model,
                                   std::span<const Prompt> prompts, const GenerateOptions& options);

}  // namespace dlm
