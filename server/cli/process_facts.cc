#include "server/cli/process_facts.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace tandem {
namespace {

// What follows `name` and a colon on a line of `file`; empty where there is no such line.
std::string ValueOf(const std::string& file, absl::string_view name) {
  std::ifstream stream(file);
  std::string line;
  while (std::getline(stream, line)) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    if (absl::StripAsciiWhitespace(absl::string_view(line).substr(0, colon)) != name) continue;
    return std::string(absl::StripAsciiWhitespace(absl::string_view(line).substr(colon + 1)));
  }
  return "";
}

// "1234 kB" -> bytes.
int64_t StatusBytes(absl::string_view name) {
  const std::string text = ValueOf("/proc/self/status", name);
  int64_t kilobytes = 0;
  if (!absl::SimpleAtoi(absl::string_view(text).substr(0, text.find(' ')), &kilobytes)) return 0;
  return kilobytes * 1024;
}

}  // namespace

absl::Duration ProcessAge() {
  std::ifstream stream("/proc/self/stat");
  std::string line;
  std::getline(stream, line);
  // proc(5): field 22 is the start in ticks after boot; field 2 is in parentheses and may hold any
  // character.
  const std::vector<absl::string_view> fields =
      absl::StrSplit(absl::string_view(line).substr(line.rfind(')') + 1), ' ', absl::SkipEmpty());
  constexpr size_t kStart = 22 - 3;
  int64_t ticks = 0;
  if (fields.size() <= kStart || !absl::SimpleAtoi(fields[kStart], &ticks)) {
    return absl::ZeroDuration();
  }
  timespec since_boot;
  clock_gettime(CLOCK_BOOTTIME, &since_boot);
  return absl::DurationFromTimespec(since_boot) - absl::Seconds(ticks) / sysconf(_SC_CLK_TCK);
}

ResidentMemory ReadResidentMemory() {
  return {.now = StatusBytes("VmRSS"),
          .now_of_files = StatusBytes("RssFile"),
          .peak = StatusBytes("VmHWM")};
}

int64_t DiskPageFaults() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_majflt;
}

std::string CpuName() {
  const std::string name = ValueOf("/proc/cpuinfo", "model name");
  return name.empty() ? "unknown CPU" : name;
}

int64_t WeightFileBytes(const std::string& model) {
  std::error_code error;
  if (!std::filesystem::is_directory(model, error)) {
    const auto bytes = std::filesystem::file_size(model, error);
    return error ? 0 : static_cast<int64_t>(bytes);
  }
  int64_t sum = 0;
  for (const auto& entry : std::filesystem::directory_iterator(model, error)) {
    if (entry.path().extension() == ".safetensors") sum += WeightFileBytes(entry.path());
  }
  return sum;
}

int64_t LargestCacheBytes() {
  return std::max<int64_t>({0, sysconf(_SC_LEVEL2_CACHE_SIZE), sysconf(_SC_LEVEL3_CACHE_SIZE),
                            sysconf(_SC_LEVEL4_CACHE_SIZE)});
}

}  // namespace tandem
