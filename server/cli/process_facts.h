// What the operating system says about this process and the machine it runs on.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace tandem {

// Since this process was started, to 10 ms. Zero where the system does not say.
absl::Duration ProcessAge();

// Bytes of this process in memory; all 0 where the system does not say.
struct ResidentMemory {
  int64_t now = 0;
  int64_t now_of_files = 0;  // the part of `now` that mapped files have: shared between processes
  int64_t peak = 0;
};
ResidentMemory ReadResidentMemory();

// How often a page had to be read from disk so far.
int64_t DiskPageFaults();

// "AMD EPYC 9B14"; "unknown CPU" where the system does not say.
std::string CpuName();

// Of the files that a model's weights are in: what they take in memory, packed or not. 0 where
// there are none.
int64_t WeightFileBytes(const std::string& model);

// Of the largest cache; 0 where the system does not say.
int64_t LargestCacheBytes();

}  // namespace tandem
