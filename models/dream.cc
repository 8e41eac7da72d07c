#include "models/dream.h"

#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "models/llama.h"
#include "models/transformer/decoder_model.h"
#include "models/transformer/inference_scope.h"

namespace dlm {

std::unique_ptr<CanvasModel> load_dream(const Checkpoint& checkpoint, const ModelOptions& options) {
  const InferenceScope scope;
  const std::string where = checkpoint.folder + "/config.json";
  const Json json = parse_json(checkpoint.config_json, where);
  const LlamaDialect dialect{.family = "dream", .always_biases_qkv = true};
  const LlamaConfig config = parse_llama_config(json, dialect, where);
  const CanvasTraits traits{mask_id_field(json, config.shape.vocab_size, where),
                            LogitShift::kPrevious, mask_logit_of(options)};
  Decoder decoder =
      load_llama_decoder(checkpoint, config, llama_names(checkpoint), resolve_compute(options));
  ModelInfo info = decoder_info(decoder, json, where);
  info.family = dialect.family;
  info.dtype = options.dtype;
  info.is_bound = true;
  return std::make_unique<CanvasModel>(std::move(decoder), std::move(info), traits);
}

}  // namespace dlm
