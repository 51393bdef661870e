// A fingerprint of a model, equal wherever the same model is opened: two workers compare theirs
// before KV travels between them.
#pragma once

#include <cstdint>

#include "engine/core/model_config.h"
#include "engine/weights/stored_tensor.h"

namespace tandem {

// 64-bit FNV-1a over the configuration (all but its name), every tensor's name, type and shape, and
// the first and last 64 bytes of its data. So it costs a page per tensor, tells apart files of
// different type, size or training, and does not see what leaves KV alone: path, tokenizer, chat
// template. Not meant against forgery. Stable over runs, machines and builds.
uint64_t ContentHash(const ModelConfig& config, const TensorDirectory& tensors);

}  // namespace tandem
