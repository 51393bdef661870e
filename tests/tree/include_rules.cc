#include "tests/tree/include_rules.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace tandem {
namespace {

using Folders = std::vector<absl::string_view>;

// Folder -> the other folders it may include. A folder without a row stands under its nearest
// parent's.
const std::map<absl::string_view, Folders>& AllowedFolders() {
  static const auto* allowed = new std::map<absl::string_view, Folders>{
      {"engine/core", {}},
      {"engine/tensor", {"engine/core"}},
      {"engine/kernels", {"engine/core", "engine/tensor"}},
      {"engine/comm", {"engine/core", "engine/tensor"}},
      {"engine/weights", {"engine/core", "engine/tensor", "engine/kernels", "engine/comm"}},
      {"engine/kv", {"engine/core", "engine/tensor", "engine/kernels", "engine/comm"}},
      {"engine/experts",
       {"engine/core", "engine/tensor", "engine/kernels", "engine/comm", "engine/weights",
        "engine/kv"}},
      {"engine/model",
       {"engine/core", "engine/tensor", "engine/kernels", "engine/comm", "engine/weights",
        "engine/kv", "engine/experts"}},
      {"engine/runner",
       {"engine/core", "engine/tensor", "engine/kernels", "engine/comm", "engine/weights",
        "engine/kv", "engine/experts", "engine/model"}},
      {"engine/tokenizer", {"engine/core"}},
      {"scheduler", {"engine/core"}},
      {"scheduler/replay", {"engine/core", "scheduler"}},
      {"scheduler/sim", {"engine/core", "scheduler"}},
      {"scheduler/sim/compat", {"engine/core"}},
      {"scheduler/planner", {"engine/core", "scheduler", "scheduler/sim", "scheduler/sim/compat"}},
      {"server", {"engine/core"}},
      {"server/event_log", {"engine/core", "server"}},
      {"server/worker",
       {"engine", "scheduler", "scheduler/replay", "proto", "server", "server/event_log"}},
      {"server/controller",
       {"engine/core", "scheduler", "scheduler/replay", "scheduler/sim", "scheduler/planner",
        "proto", "server", "server/event_log"}},
      {"server/gateway", {"engine", "proto", "server"}},
      {"server/bench",
       {"engine/core", "scheduler", "scheduler/sim", "scheduler/planner", "proto", "server"}},
      {"server/cli",
       {"engine", "scheduler", "scheduler/replay", "scheduler/sim", "scheduler/sim/compat",
        "scheduler/planner", "proto", "server", "server/worker", "server/controller",
        "server/gateway", "server/bench"}},
      {"server/main.cc", {"server/cli"}},
  };
  return *allowed;
}

// Headers of libraries that stay behind one folder's wall.
struct LibraryRule {
  absl::string_view prefix;
  absl::string_view library;
};
constexpr LibraryRule kServerOnly[] = {
    {"grpc/", "gRPC"},   {"grpcpp/", "gRPC"},           {"google/protobuf/", "Protobuf"},
    {"boost/", "Boost"}, {"prometheus/", "Prometheus"},
};
constexpr LibraryRule kCudaOnly[] = {
    {"cuda", "CUDA"}, {"cublas", "cuBLAS"}, {"nccl", "NCCL"}, {"cub/", "CUDA"}, {"thrust/", "CUDA"},
};

bool IsUnder(absl::string_view path, absl::string_view folder) {
  return path == folder || absl::StartsWith(path, absl::StrCat(folder, "/"));
}

absl::string_view FolderOf(absl::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == absl::string_view::npos ? "" : path.substr(0, slash);
}

// The row that `path` stands under; empty for a path outside the table.
absl::string_view RowOf(absl::string_view path) {
  while (!path.empty() && !AllowedFolders().contains(path)) path = FolderOf(path);
  return path;
}

struct Include {
  absl::string_view target;
  bool quoted;
};

// The include directive on `line`, if there is one.
std::optional<Include> ParseInclude(absl::string_view line) {
  line = absl::StripLeadingAsciiWhitespace(line);
  if (!absl::ConsumePrefix(&line, "#")) return std::nullopt;
  line = absl::StripLeadingAsciiWhitespace(line);
  if (!absl::ConsumePrefix(&line, "include")) return std::nullopt;
  line = absl::StripLeadingAsciiWhitespace(line);
  if (line.empty() || (line[0] != '"' && line[0] != '<')) return std::nullopt;
  const bool quoted = line[0] == '"';
  const size_t end = line.find(quoted ? '"' : '>', 1);
  if (end == absl::string_view::npos) return std::nullopt;
  return Include{.target = line.substr(1, end - 1), .quoted = quoted};
}

// Why `path` may not include the library header `target`; empty when it may.
std::string LibraryViolation(absl::string_view path, absl::string_view target) {
  if (absl::EndsWith(target, ".pb.h") && !IsUnder(path, "server")) {
    return "generated proto code belongs in server/ only";
  }
  for (const LibraryRule& rule : kServerOnly) {
    if (absl::StartsWith(target, rule.prefix) && !IsUnder(path, "server")) {
      return absl::StrCat(rule.library, " headers belong in server/ only");
    }
  }
  const bool in_cuda = IsUnder(path, "engine") && absl::EndsWith(FolderOf(path), "/cuda");
  for (const LibraryRule& rule : kCudaOnly) {
    if (absl::StartsWith(target, rule.prefix) && !in_cuda) {
      return absl::StrCat(rule.library, " headers belong in engine/*/cuda/ only");
    }
  }
  return "";
}

bool IsOurs(absl::string_view target) {
  for (absl::string_view top :
       {"engine", "scheduler", "server", "proto", "tests", "tools", "deploy"}) {
    if (IsUnder(target, top)) return true;
  }
  return false;
}

// Why a file under `row` may not include our own file `target`; empty when it may.
std::string FolderViolation(absl::string_view row, absl::string_view target) {
  const absl::string_view target_row = RowOf(target);
  if (!target_row.empty() && target_row == row) return "";
  const Folders& allowed = AllowedFolders().at(row);
  const bool is_allowed =
      std::any_of(allowed.begin(), allowed.end(), [&](absl::string_view folder) {
        // A folder with a row of its own is meant alone: `scheduler` does not stand for
        // `scheduler/sim`. The others are whole trees.
        return AllowedFolders().contains(folder) ? target_row == folder : IsUnder(target, folder);
      });
  return is_allowed ? "" : absl::StrCat(row, " must not include ", FolderOf(target));
}

std::string Violation(absl::string_view path, const Include& include) {
  if (IsUnder(path, "tests")) return "";
  const absl::string_view row = RowOf(path);
  if (row.empty())
    return absl::StrCat("folder ", FolderOf(path), " has no row in the include rules");
  if (std::string library = LibraryViolation(path, include.target); !library.empty())
    return library;
  if (include.quoted && include.target.find('/') == absl::string_view::npos) {
    return "our own headers are included by their path from the root";
  }
  return IsOurs(include.target) ? FolderViolation(row, include.target) : "";
}

}  // namespace

std::vector<std::string> IncludeViolations(absl::string_view path, absl::string_view content) {
  std::vector<std::string> violations;
  int line_number = 0;
  for (absl::string_view line : absl::StrSplit(content, '\n')) {
    ++line_number;
    const std::optional<Include> include = ParseInclude(line);
    if (!include) continue;
    if (std::string reason = Violation(path, *include); !reason.empty()) {
      violations.push_back(
          absl::StrCat(path, ":", line_number, ": includes ", include->target, ": ", reason));
    }
  }
  return violations;
}

}  // namespace tandem
