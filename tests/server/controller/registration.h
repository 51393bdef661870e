// A worker of two small layers, as it registers.
#pragma once

#include <cstdint>
#include <string>

#include "proto/scheduler.pb.h"

namespace tandem {

inline v1::RegisterRequest Registration(const std::string& id, v1::Role role, uint64_t epoch) {
  v1::RegisterRequest worker;
  worker.set_instance_id(id);
  worker.set_epoch(epoch);
  worker.set_role(role);
  worker.set_address(id + ":1");
  worker.set_blocks_total(100);
  worker.mutable_model()->set_content_hash(9);
  v1::KvLayoutInfo* layout = worker.mutable_layout();
  layout->set_version(1);
  layout->set_num_layers(2);
  layout->set_num_kv_heads(2);
  layout->set_head_dim(8);
  layout->set_block_size(16);
  layout->set_dtype("F16");
  return worker;
}

}  // namespace tandem
