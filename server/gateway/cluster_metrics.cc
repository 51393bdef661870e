#include "server/gateway/cluster_metrics.h"

#include <string>
#include <utility>

#include "absl/types/span.h"

namespace tandem {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

struct Series {
  const char* name;
  const char* help;
  MetricType type;
  double (*value)(const v1::InstanceState& instance);
};

constexpr Series kSeries[] = {
    {"tandem_requests_running", "Requests in prefill or decode steps.", MetricType::Gauge,
     [](const v1::InstanceState& i) -> double { return i.stats().running_requests(); }},
    {"tandem_requests_waiting", "Requests accepted that have made no step yet.", MetricType::Gauge,
     [](const v1::InstanceState& i) -> double { return i.stats().waiting_requests(); }},
    {"tandem_tokens_waiting", "Prompt tokens of the waiting requests.", MetricType::Gauge,
     [](const v1::InstanceState& i) -> double { return i.stats().waiting_tokens(); }},
    {"tandem_requests_receiving", "Requests whose KV is arriving.", MetricType::Gauge,
     [](const v1::InstanceState& i) -> double { return i.stats().receiving_requests(); }},
    {"tandem_requests_leased", "Prefilled requests whose KV is held for a decode worker.",
     MetricType::Gauge,
     [](const v1::InstanceState& i) -> double { return i.stats().leased_requests(); }},
    {"tandem_instance_healthy", "1 while the worker makes progress.", MetricType::Gauge,
     [](const v1::InstanceState& i) -> double { return i.healthy() ? 1 : 0; }},
    {"tandem_instance_draining", "1 while the worker takes no new requests.", MetricType::Gauge,
     [](const v1::InstanceState& i) -> double { return i.draining() ? 1 : 0; }},
    {"tandem_kv_bytes_total", "KV bytes received from other workers.", MetricType::Counter,
     [](const v1::InstanceState& i) -> double { return i.stats().kv_bytes_received(); }},
    {"tandem_kv_sent_bytes_total", "KV bytes sent to other workers.", MetricType::Counter,
     [](const v1::InstanceState& i) -> double { return i.stats().kv_bytes_sent(); }},
    {"tandem_kv_frame_errors_total", "KV frames that came damaged, twice, or not at all.",
     MetricType::Counter,
     [](const v1::InstanceState& i) -> double { return i.stats().kv_frames_bad(); }},
    {"tandem_kv_transfer_retries_total", "KV transfers that failed and were tried again.",
     MetricType::Counter,
     [](const v1::InstanceState& i) -> double { return i.stats().kv_retries(); }},
    {"tandem_kv_lease_expired_total", "Leases that ended before the KV was pulled.",
     MetricType::Counter,
     [](const v1::InstanceState& i) -> double { return i.stats().leases_expired(); }},
    {"tandem_recomputes_total", "Prompts computed again after a failed transfer.",
     MetricType::Counter,
     [](const v1::InstanceState& i) -> double { return i.stats().recomputes(); }},
    {"tandem_prefix_cache_queries_total", "Tokens looked up in the prefix cache.",
     MetricType::Counter,
     [](const v1::InstanceState& i) -> double { return i.stats().prefix_queried_tokens(); }},
    {"tandem_prefix_cache_hits_total", "Tokens whose KV was found in the prefix cache.",
     MetricType::Counter,
     [](const v1::InstanceState& i) -> double { return i.stats().prefix_hit_tokens(); }},
    {"tandem_steps_total", "Steps of the model.", MetricType::Counter,
     [](const v1::InstanceState& i) -> double { return i.stats().steps(); }},
    {"tandem_step_seconds_total", "Time spent in steps of the model.", MetricType::Counter,
     [](const v1::InstanceState& i) -> double { return i.stats().step_seconds(); }},
};

// One number of an instance, and what it is made of.
struct Part {
  const char* name;
  int64_t (*count)(const v1::WorkerStats& stats);
};
struct Split {
  const char* name;
  const char* help;
  MetricType type;
  const char* label;
  absl::Span<const Part> parts;
};

constexpr Part kBlockStates[] = {
    {"free", [](const v1::WorkerStats& s) { return s.blocks_free(); }},
    {"running", [](const v1::WorkerStats& s) { return s.blocks_running(); }},
    {"cached", [](const v1::WorkerStats& s) { return s.blocks_cached(); }},
    {"leased_out", [](const v1::WorkerStats& s) { return s.blocks_leased_out(); }},
    {"receiving", [](const v1::WorkerStats& s) { return s.blocks_receiving(); }},
    {"quarantined", [](const v1::WorkerStats& s) { return s.blocks_quarantined(); }},
};
constexpr Part kHostBlockStates[] = {
    {"free", [](const v1::WorkerStats& s) { return s.host_blocks_free(); }},
    {"swapped", [](const v1::WorkerStats& s) { return s.host_blocks_swapped(); }},
};
constexpr Part kPreemptions[] = {
    {"swap", [](const v1::WorkerStats& s) { return s.swaps(); }},
    {"recompute", [](const v1::WorkerStats& s) { return s.preemptions() - s.swaps(); }},
};
constexpr Part kSwapDirections[] = {
    {"out", [](const v1::WorkerStats& s) { return s.swapped_out_bytes(); }},
    {"in", [](const v1::WorkerStats& s) { return s.swapped_in_bytes(); }},
};

constexpr Split kSplits[] = {
    {"tandem_kv_blocks", "KV blocks by state; the states of an instance sum to its total.",
     MetricType::Gauge, "state", kBlockStates},
    {"tandem_kv_host_blocks",
     "Blocks of the host tier by state; the states of an instance sum to its total.",
     MetricType::Gauge, "state", kHostBlockStates},
    {"tandem_preemptions_total",
     "Requests whose blocks were taken for others, by how their KV came back.", MetricType::Counter,
     "how", kPreemptions},
    {"tandem_kv_swap_bytes_total", "KV bytes copied out to the host tier and back in.",
     MetricType::Counter, "direction", kSwapDirections},
};

ClientMetric Labelled(const v1::InstanceState& instance, MetricType type, double value) {
  ClientMetric metric;
  metric.label = {{"instance_id", instance.registration().instance_id()},
                  {"role", RoleName(instance.registration().role())}};
  (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  return metric;
}

MetricFamily SplitMetrics(const Split& split, const v1::ClusterState& cluster) {
  MetricFamily family{.name = split.name, .help = split.help, .type = split.type, .metric = {}};
  for (const v1::InstanceState& instance : cluster.instances()) {
    for (const Part& part : split.parts) {
      const auto count = static_cast<double>(part.count(instance.stats()));
      ClientMetric metric = Labelled(instance, split.type, count);
      metric.label.push_back({split.label, part.name});
      family.metric.push_back(std::move(metric));
    }
  }
  return family;
}

// Series of the cluster, with one label.
void AddSeries(const char* label, const std::string& value, double number, MetricFamily& family) {
  ClientMetric metric;
  metric.label = {{label, value}};
  (family.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = number;
  family.metric.push_back(std::move(metric));
}

void AddPlanMetrics(const v1::PlanCounters& plan, std::vector<MetricFamily>& families) {
  MetricFamily decisions{.name = "tandem_replan_decisions_total",
                         .help = "Decisions about the workers' roles, by what was done.",
                         .type = MetricType::Counter,
                         .metric = {}};
  for (const v1::PlanCounters::Action& action : plan.decisions()) {
    AddSeries("action", action.action(), static_cast<double>(action.count()), decisions);
  }
  families.push_back(std::move(decisions));
  if (!plan.has_wanted()) return;
  MetricFamily wanted{
      .name = "tandem_wanted_replicas",
      .help = "Workers of each role that the demand needs, as of the last decision.",
      .type = MetricType::Gauge,
      .metric = {}};
  AddSeries("role", "prefill", plan.wanted().prefill(), wanted);
  AddSeries("role", "decode", plan.wanted().decode(), wanted);
  AddSeries("role", "mixed", plan.wanted().mixed(), wanted);
  families.push_back(std::move(wanted));
}

}  // namespace

std::vector<MetricFamily> ClusterMetrics(const v1::ClusterState& cluster) {
  std::vector<MetricFamily> families;
  for (const Split& split : kSplits) families.push_back(SplitMetrics(split, cluster));
  for (const Series& series : kSeries) {
    MetricFamily family{
        .name = series.name, .help = series.help, .type = series.type, .metric = {}};
    for (const v1::InstanceState& instance : cluster.instances()) {
      family.metric.push_back(Labelled(instance, series.type, series.value(instance)));
    }
    families.push_back(std::move(family));
  }
  AddPlanMetrics(cluster.plan(), families);
  return families;
}

const char* RoleName(v1::Role role) {
  switch (role) {
    case v1::ROLE_PREFILL:
      return "prefill";
    case v1::ROLE_DECODE:
      return "decode";
    case v1::ROLE_MIXED:
      return "mixed";
    default:
      return "unknown";
  }
}

}  // namespace tandem
