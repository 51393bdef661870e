#include "scheduler/instance_table.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace tandem {
namespace {

InstanceView MakeView() {
  InstanceView view;
  view.id = InstanceId("p0");
  view.role = InstanceRole::kPrefill;
  view.layout = {.num_layers = 2, .num_kv_heads = 2, .head_dim = 8};
  view.num_queued_tokens = 10;
  view.num_queued_prompts = 3;
  return view;
}

// A load of fractions: in another order of work, another last digit.
TEST(InstanceTableTest, WorkAddsUpToTheSameBitsInEveryTable) {
  const absl::Time now = absl::UnixEpoch();
  std::vector<std::unique_ptr<InstanceTable>> tables;  // at addresses of their own
  for (int i = 0; i < 100; ++i) {
    tables.push_back(std::make_unique<InstanceTable>(absl::Milliseconds(20)));
    InstanceTable& table = *tables.back();
    InstanceTable::Instance& instance = table.Update(MakeView(), now);
    for (uint64_t request = 1; request <= 40; ++request) {
      const int num_tokens = static_cast<int>(request * request);
      table.Add(&instance, RequestId(request * 0x9E3779B97F4A7C15u),
                {.time = now, .prompt = {.num_tokens = num_tokens}});
    }
    table.Update(MakeView(), now);
    const InstanceTable::Instance* const first = tables.front()->Find(InstanceId("p0"));
    ASSERT_EQ(instance.load.queued_squares, first->load.queued_squares) << "table " << i;
  }
}

}  // namespace
}  // namespace tandem
