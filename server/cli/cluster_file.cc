#include "server/cli/cluster_file.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "engine/core/status_macros.h"
#include "engine/runner/kv_pool_plan.h"
#include "server/cli/instance_plan.h"
#include "server/cli/option_value.h"
#include "server/cli/text_file.h"

namespace tandem {
namespace {

// Reads the keys of one mapping; keeps the first error.
class MappingReader {
 public:
  // `path` is the mapping's own, with a dot behind it, or nothing.
  MappingReader(const YAML::Node& node, std::string file, std::string path)
      : node_(node), file_(std::move(file)), path_(std::move(path)) {
    if (!node_.IsMap()) Refuse(node_, path_, "a mapping");
  }

  void Text(const std::string& key, std::string* value) {
    if (const YAML::Node node = Scalar(key)) *value = node.Scalar();
  }

  // A whole number of at least `least`, with a unit or without.
  template <typename Integer>
  void Count(const std::string& key, double least, double most, Integer* value, Unit unit = PLAIN) {
    const YAML::Node node = Scalar(key);
    if (!node) return;
    const absl::StatusOr<double> number = ParseQuantity(unit, node.Scalar());
    if (!number.ok() || *number < least || *number > most || *number != std::floor(*number)) {
      return Refuse(node, path_ + key,
                    absl::StrCat("a whole number from ", least, " to ", most, ", got \"",
                                 node.Scalar(), "\""));
    }
    *value = static_cast<Integer>(*number);
  }

  // More than nothing.
  void Quantity(const std::string& key, Unit unit, double* value) {
    const YAML::Node node = Scalar(key);
    if (!node) return;
    const absl::StatusOr<double> number = ParseQuantity(unit, node.Scalar());
    if (!number.ok()) return Refuse(node, path_ + key, number.status().message());
    if (*number <= 0) return Refuse(node, path_ + key, "more than 0");
    *value = *number;
  }

  // The value of `key`, which is then known; not defined where there is none.
  YAML::Node Value(const std::string& key) {
    known_.push_back(key);
    if (!node_.IsMap()) return YAML::Node(YAML::NodeType::Undefined);
    for (const auto& entry : node_) {
      if (entry.first.IsScalar() && NameOf(entry.first) == key) return entry.second;
    }
    return YAML::Node(YAML::NodeType::Undefined);
  }

  void Refuse(const YAML::Node& node, const std::string& path, absl::string_view wanted) {
    if (!status_.ok()) return;
    status_ = absl::InvalidArgumentError(
        absl::StrCat(file_, ":", std::max(0, node.Mark().line) + 1, ": ",
                     path.empty() ? "the file" : absl::StripSuffix(path, "."), ": expected ",
                     absl::StripPrefix(wanted, "expected ")));
  }

  // Also refuses keys that nobody has asked for.
  absl::Status Finish() {
    for (const auto& entry : node_) {
      if (!status_.ok()) break;
      const std::string name = entry.first.IsScalar() ? NameOf(entry.first) : "";
      if (std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
      Refuse(entry.first, path_ + name, absl::StrCat("one of ", absl::StrJoin(known_, ", ")));
    }
    return status_;
  }

 private:
  static std::string NameOf(const YAML::Node& key) {
    return absl::StrReplaceAll(key.Scalar(), {{"_", "-"}});
  }
  YAML::Node Scalar(const std::string& key) {
    const YAML::Node node = Value(key);
    if (!node || node.IsScalar()) return node;
    Refuse(node, path_ + key, "a single value");
    return YAML::Node(YAML::NodeType::Undefined);
  }

  const YAML::Node node_;
  const std::string file_;
  const std::string path_;
  std::vector<std::string> known_;
  absl::Status status_;
};

constexpr double kMaxCount = 1024;

absl::StatusOr<ClusterNodes> ReadNodes(const YAML::Node& root, const std::string& file,
                                       ClusterNodes cluster) {
  MappingReader reader(root, file, "");
  const YAML::Node nodes = reader.Value("nodes");
  const YAML::Node links = reader.Value("links");
  if (!nodes || !nodes.IsSequence() || nodes.size() == 0) {
    reader.Refuse(nodes ? nodes : root, "nodes", "a list of nodes");
  }
  RETURN_IF_ERROR(reader.Finish());
  cluster.kinds.clear();
  for (size_t i = 0; i < nodes.size(); ++i) {
    const std::string path = absl::StrCat("nodes[", i, "].");
    MappingReader node(nodes[i], file, path);
    NodeKind kind = {.name = absl::StrCat("node", i), .num_devices = 0};
    int cores = 0;
    node.Text("name", &kind.name);
    node.Count("count", 1, kMaxCount, &kind.count);
    node.Count("devices", 1, kMaxCount, &kind.num_devices);
    node.Count("memory", 1, 9e15, &kind.device_memory_bytes, BYTES);
    node.Count("cores-per-device", 1, kMaxCount, &cores);
    if (kind.num_devices == 0) node.Refuse(nodes[i], path + "devices", "how many each node has");
    if (i > 0 && cores != cluster.cores_per_device) {
      node.Refuse(nodes[i], path + "cores-per-device",
                  "the same for all nodes: goodput is counted per device");
    }
    RETURN_IF_ERROR(node.Finish());
    cluster.cores_per_device = cores;
    cluster.kinds.push_back(std::move(kind));
  }
  if (!links) return cluster;
  MappingReader link(links, file, "links.");
  double latency_s = absl::ToDoubleSeconds(cluster.latency);
  link.Quantity("within", BYTES, &cluster.within_bytes_per_second);
  link.Quantity("between", BYTES, &cluster.between_bytes_per_second);
  link.Quantity("latency", SECONDS, &latency_s);
  RETURN_IF_ERROR(link.Finish());
  cluster.latency = absl::Seconds(latency_s);
  return cluster;
}

}  // namespace

absl::StatusOr<ClusterNodes> ParseClusterFile(const std::string& text, const std::string& name,
                                              const ClusterNodes& defaults) {
  try {  // yaml-cpp reports by exceptions
    return ReadNodes(YAML::Load(text), name, defaults);
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ":", error.mark.line + 1, ": ", error.msg));
  }
}

absl::StatusOr<ClusterNodes> ReadCluster(const Config& config) {
  ClusterNodes cluster;
  cluster.latency = absl::Seconds(config.network_delay());
  if (config.link_bandwidth() > 0) {
    cluster.within_bytes_per_second = static_cast<double>(config.link_bandwidth());
    cluster.between_bytes_per_second = cluster.within_bytes_per_second;
  }
  if (!config.cluster().empty()) {
    ASSIGN_OR_RETURN(const std::string text, ReadFile(config.cluster()));
    return ParseClusterFile(text, config.cluster(), cluster);
  }
  NodeKind kind = {.name = "node", .count = static_cast<int>(config.nodes())};
  kind.num_devices = static_cast<int>(config.gpus_per_node());
  if (kind.num_devices == 0) {
    kind.num_devices = std::max(1, static_cast<int>(AvailableCpus().size()));
    kind.device_memory_bytes = MachineMemoryBytes() / kind.num_devices;
    cluster.cores_per_device = 1;
  }
  cluster.kinds.push_back(kind);
  return cluster;
}

}  // namespace tandem
