// What one render may use: steps, bytes, depth, and the time that templates see.
//
// Every evaluated node and every unit of work inside filters is charged, so that no template can
// hang the server or take its memory, whatever the messages are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace tandem::jinja {

// Bounds of one render. The prompt of a conversation of a million tokens is about 4 MB of text, and
// real templates take some 10^5 steps for it.
struct RenderLimits {
  // A step is a node, an item, or 64 bytes of text that is made. All of them take about a second,
  // and what they can leave in memory stays below 1.5 GB.
  int64_t max_steps = 10'000'000;
  size_t max_text_bytes = 64 << 20;  // of any one text, the output too
  int max_depth = 1500;              // of nested evaluations
};

// Something a template can change, which can therefore come to hold itself.
class Mutable {
 public:
  virtual ~Mutable() = default;
  // Drops what it holds.
  virtual void Clear() = 0;
};

// The state of one render. One thread.
class Runtime {
 public:
  // `now` and `zone` are what `strftime_now` shows.
  Runtime(absl::Time now, absl::TimeZone zone, const RenderLimits& limits = {})
      : now_(now), zone_(zone), limits_(limits), steps_left_(limits.max_steps) {}
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  // INVALID_ARGUMENT once the template has used more than its limit.
  absl::Status Charge(int64_t num_steps);
  // The same for a text that is about to become, or has become, `num_bytes` long.
  absl::Status CheckText(size_t num_bytes) const;
  // Both: CheckText, and steps for the bytes.
  absl::Status ChargeText(size_t num_bytes);
  // Steps for looking for a text in another, which at worst compares each byte with each.
  absl::Status ChargeSearch(size_t text_bytes, size_t wanted_bytes);

  // Clears `cell` when the render ends, which breaks every cycle of references.
  void Own(std::shared_ptr<Mutable> cell) { cells_.push_back(std::move(cell)); }

  // Counts nested evaluations while it lives.
  class Nesting {
   public:
    explicit Nesting(Runtime& runtime) : runtime_(runtime) { ++runtime_.depth_; }
    ~Nesting() { --runtime_.depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;
    // INVALID_ARGUMENT beyond the limit.
    absl::Status Check() const;

   private:
    Runtime& runtime_;
  };

  absl::Time now() const { return now_; }
  absl::TimeZone zone() const { return zone_; }

  // `raise_exception(...)` was called: the error's message is the template's own.
  void set_raised_by_template() { raised_by_template_ = true; }
  bool raised_by_template() const { return raised_by_template_; }

 private:
  const absl::Time now_;
  const absl::TimeZone zone_;
  const RenderLimits limits_;
  int64_t steps_left_;
  int depth_ = 0;
  bool raised_by_template_ = false;
  std::vector<std::shared_ptr<Mutable>> cells_;
};

}  // namespace tandem::jinja
