#include "engine/comm/shared_counter.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <ctime>

#include "engine/core/status_macros.h"

namespace tandem {
namespace {

constexpr int kSpins = 500;
constexpr timespec kCheckEvery = {.tv_sec = 0, .tv_nsec = 100'000'000};

void Pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Not FUTEX_PRIVATE: the other side is another process.
void Futex(const std::atomic<uint32_t>& word, int operation, uint32_t value,
           const timespec* timeout) {
  syscall(SYS_futex, reinterpret_cast<const uint32_t*>(&word), operation, value, timeout, nullptr,
          0);
}

}  // namespace

void SharedCounter::Advance() {
  // Sequentially consistent, as in Await: either the sleeper sees the count or we see the sleeper.
  value_.fetch_add(1, std::memory_order_seq_cst);
  if (num_sleepers_.load(std::memory_order_seq_cst) > 0) {
    Futex(value_, FUTEX_WAKE, INT_MAX, nullptr);
  }
}

absl::Status PeerWaiter::Await(const SharedCounter& counter, uint32_t target) const {
  for (int i = 0; i < kSpins; ++i) {
    if (counter.HasReached(target)) return absl::OkStatus();
    Pause();
  }
  while (true) {
    counter.num_sleepers_.fetch_add(1, std::memory_order_seq_cst);
    const uint32_t seen = counter.value_.load(std::memory_order_seq_cst);
    if (static_cast<int32_t>(seen - target) < 0) {
      Futex(counter.value_, FUTEX_WAIT, seen, &kCheckEvery);
    }
    counter.num_sleepers_.fetch_sub(1, std::memory_order_seq_cst);
    if (counter.HasReached(target)) return absl::OkStatus();
    if (check_) RETURN_IF_ERROR(check_());
  }
}

}  // namespace tandem
