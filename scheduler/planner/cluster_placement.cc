#include "scheduler/planner/cluster_placement.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tandem {
namespace {

// A number of instances of one shape.
struct RoleChoice {
  int count = 0;
  InstanceRanks shape;
};

// None, or as many of each shape as fit into `num_devices`, at most `max_count`.
std::vector<RoleChoice> ChoicesUpTo(absl::Span<const InstanceRanks> shapes, int num_devices,
                                    int max_count) {
  std::vector<RoleChoice> choices = {{}};
  for (const InstanceRanks& shape : shapes) {
    const int most = std::min(max_count, num_devices / shape.NumDevices());
    for (int count = 1; count <= most; ++count) {
      choices.push_back({count, shape});
    }
  }
  return choices;
}

int NumDevices(const RoleChoice& choice) { return choice.count * choice.shape.NumDevices(); }

void AppendRole(int count, const char* name, const InstanceRanks& shape,
                std::vector<std::string>* parts) {
  if (count == 0) return;
  std::vector<std::string> sizes;
  if (shape.tp > 1) sizes.push_back(absl::StrCat("TP ", shape.tp));
  if (shape.pp > 1) sizes.push_back(absl::StrCat("PP ", shape.pp));
  if (shape.threads > 1) sizes.push_back(absl::StrCat(shape.threads, " threads"));
  parts->push_back(absl::StrCat(
      count, " ", name, sizes.empty() ? "" : absl::StrCat(" (", absl::StrJoin(sizes, ", "), ")")));
}

}  // namespace

int ClusterPlacement::NumDevices() const {
  return num_prefill * prefill.NumDevices() + num_decode * decode.NumDevices() +
         num_mixed * mixed.NumDevices();
}

std::string ClusterPlacement::ToString() const {
  std::vector<std::string> parts;
  AppendRole(num_prefill, "prefill", prefill, &parts);
  AppendRole(num_decode, "decode", decode, &parts);
  AppendRole(num_mixed, "mixed", mixed, &parts);
  return absl::StrJoin(parts, " + ");
}

std::vector<ClusterPlacement> EnumerateClusters(absl::Span<const InstanceRanks> shapes,
                                                int max_devices) {
  std::vector<ClusterPlacement> placements;
  for (const RoleChoice& prefill : ChoicesUpTo(shapes, max_devices, kMaxInstances)) {
    const int beside_prefill = max_devices - NumDevices(prefill);
    const int num_more = kMaxInstances - prefill.count;
    for (const RoleChoice& decode : ChoicesUpTo(shapes, beside_prefill, num_more)) {
      if ((prefill.count == 0) != (decode.count == 0)) continue;
      for (const RoleChoice& mixed :
           ChoicesUpTo(shapes, beside_prefill - NumDevices(decode), num_more - decode.count)) {
        if (mixed.count == 0 && prefill.count == 0) continue;
        placements.push_back({.num_prefill = prefill.count,
                              .num_decode = decode.count,
                              .num_mixed = mixed.count,
                              .prefill = prefill.shape,
                              .decode = decode.shape,
                              .mixed = mixed.shape});
      }
    }
  }
  return placements;
}

}  // namespace tandem
