#include "scheduler/planner/cluster_placement.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tandem {
namespace {

// A number of instances of one shape.
struct RoleChoice {
  int count = 0;
  InstanceRanks shape;
};

// None, or as many of each shape as fit into `num_devices`.
std::vector<RoleChoice> ChoicesUpTo(absl::Span<const InstanceRanks> shapes, int num_devices) {
  std::vector<RoleChoice> choices = {{}};
  for (const InstanceRanks& shape : shapes) {
    for (int count = 1; count * shape.NumDevices() <= num_devices; ++count) {
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
                                                int num_devices) {
  std::vector<ClusterPlacement> placements;
  for (const RoleChoice& prefill : ChoicesUpTo(shapes, num_devices)) {
    for (const RoleChoice& decode : ChoicesUpTo(shapes, num_devices - NumDevices(prefill))) {
      if ((prefill.count == 0) != (decode.count == 0)) continue;
      const int num_left = num_devices - NumDevices(prefill) - NumDevices(decode);
      for (const RoleChoice& mixed : ChoicesUpTo(shapes, num_left)) {
        if (NumDevices(mixed) != num_left) continue;
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
