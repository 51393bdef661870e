#include "engine/core/model_config.h"

#include <cmath>

namespace tandem {

float ModelConfig::AttentionScale() const {
  return attention_scale > 0 ? attention_scale : 1.0f / std::sqrt(static_cast<float>(head_dim));
}

}  // namespace tandem
