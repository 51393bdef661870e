#include "engine/weights/hf_rope.h"

#include <cmath>
#include <limits>
#include <string>

#include "engine/core/status_macros.h"
#include "engine/weights/file_errors.h"

namespace tandem {
namespace {

absl::StatusOr<std::string> RopeType(const JsonObject& parameters) {
  ASSIGN_OR_RETURN(const std::string old_type, parameters.StringOr("type", "default"));
  return parameters.StringOr("rope_type", old_type);
}

// YaRN's attention factor out of DeepSeek's pair of keys, which stand in for attention_factor.
double AttentionFactor(double factor, double mscale, double mscale_all_dim) {
  const auto scale = [factor](double m) {
    return factor <= 1 ? 1.0 : 0.1 * m * std::log(factor) + 1.0;
  };
  return scale(mscale) / scale(mscale_all_dim);
}

absl::Status ReadYarn(const JsonObject& parameters, int max_position, RopeConfig* rope) {
  rope->scaling = RopeScaling::kYarn;
  ASSIGN_OR_RETURN(const bool truncate, parameters.BoolOr("truncate", true));
  if (!truncate) return Unsupported(parameters.file(), "yarn without truncate is not supported");
  const double extension = static_cast<double>(max_position) / rope->original_max_position;
  ASSIGN_OR_RETURN(rope->factor, parameters.FloatOr("factor", extension));
  ASSIGN_OR_RETURN(rope->beta_fast, parameters.FloatOr("beta_fast", rope->beta_fast));
  ASSIGN_OR_RETURN(rope->beta_slow, parameters.FloatOr("beta_slow", rope->beta_slow));
  ASSIGN_OR_RETURN(const double mscale, parameters.FloatOr("mscale", 0));
  ASSIGN_OR_RETURN(const double mscale_all_dim, parameters.FloatOr("mscale_all_dim", 0));
  double fallback = 0;
  if (mscale != 0 && mscale_all_dim != 0) {
    fallback = AttentionFactor(rope->factor, mscale, mscale_all_dim);
  }
  ASSIGN_OR_RETURN(rope->attention_factor, parameters.FloatOr("attention_factor", fallback));
  return absl::OkStatus();
}

absl::Status ReadScaling(const JsonObject& parameters, int max_position, RopeConfig* rope) {
  ASSIGN_OR_RETURN(const std::string type, RopeType(parameters));
  if (type == "default") return absl::OkStatus();
  if (type == "linear") {
    rope->scaling = RopeScaling::kLinear;
    ASSIGN_OR_RETURN(rope->factor, parameters.Float("factor"));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(rope->original_max_position,
                   parameters.IntOr("original_max_position_embeddings", max_position));
  if (type == "llama3") {
    rope->scaling = RopeScaling::kLlama3;
    ASSIGN_OR_RETURN(rope->factor, parameters.Float("factor"));
    ASSIGN_OR_RETURN(rope->low_freq_factor, parameters.Float("low_freq_factor"));
    ASSIGN_OR_RETURN(rope->high_freq_factor, parameters.Float("high_freq_factor"));
    return absl::OkStatus();
  }
  if (type == "yarn") return ReadYarn(parameters, max_position, rope);
  return Unsupported(parameters.file(), "rope scaling ", Quoted(type),
                     " is not supported (supported: default, linear, llama3, yarn)");
}

// Sliding layers have a base of their own but never a scaling.
absl::Status ReadLocalBase(const JsonObject& config, const JsonObject& sliding, RopeConfig* rope) {
  ASSIGN_OR_RETURN(const std::string type, RopeType(sliding));
  if (type != "default") {
    return Unsupported(config.file(), "rope scaling ", Quoted(type),
                       " of sliding layers is not supported");
  }
  ASSIGN_OR_RETURN(const double old_base, config.FloatOr("rope_local_base_freq", 0));
  ASSIGN_OR_RETURN(rope->local_base, sliding.FloatOr("rope_theta", old_base));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RopeConfig> ReadHfRope(const JsonObject& config, int head_dim, int max_position) {
  ASSIGN_OR_RETURN(const JsonObject scaling, config.Object("rope_scaling"));
  ASSIGN_OR_RETURN(const JsonObject flat, config.Object("rope_parameters"));
  const bool nested = flat.Has("full_attention");
  ASSIGN_OR_RETURN(const JsonObject full, nested ? flat.Object("full_attention") : flat);
  ASSIGN_OR_RETURN(const JsonObject sliding, flat.Object("sliding_attention"));
  const JsonObject& parameters = scaling.object().empty() ? full : scaling;

  RopeConfig rope;
  ASSIGN_OR_RETURN(const double old_base, config.FloatOr("rope_theta", rope.base));
  ASSIGN_OR_RETURN(rope.base, full.FloatOr("rope_theta", old_base));
  ASSIGN_OR_RETURN(const double old_part, config.FloatOr("partial_rotary_factor", 1.0));
  ASSIGN_OR_RETURN(const double part, full.FloatOr("partial_rotary_factor", old_part));
  if (!(part > 0 && part <= 1)) {
    return Malformed(config.file(), "\"partial_rotary_factor\" is ", part, ", expected 0 to 1");
  }
  if (part < 1) rope.rotary_dim = static_cast<int>(head_dim * part);
  RETURN_IF_ERROR(ReadScaling(parameters, max_position, &rope));
  RETURN_IF_ERROR(ReadLocalBase(config, sliding, &rope));
  return rope;
}

}  // namespace tandem
