// Warnings of torch's kernels reach whoever calls the operator, as from every real backend: a kernel here runs on a stream's
// thread, where Python would never see them.
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <vector>

namespace mps_sim {

// Keeps what the calling thread's code warns of, while it lives.
class KeptWarnings : public c10::WarningHandler {
 public:
  void process(const c10::Warning& warning) override { all_.push_back(warning); }
  const std::vector<c10::Warning>& all() const { return all_; }

 private:
  std::vector<c10::Warning> all_;
  const c10::WarningUtils::WarningHandlerGuard guard_{this};
};

inline bool holds(const std::vector<c10::Warning>& warnings, const c10::Warning& asked) {
  return std::any_of(warnings.begin(), warnings.end(),
                     [&](const c10::Warning& one) { return one.msg() == asked.msg(); });
}

inline void warn_again(const std::vector<c10::Warning>& warnings) {
  for (const c10::Warning& warning : warnings) c10::warn(warning);
}

// On a stream's thread: drops what the caller has been warned of, and lets the rest through.
class KnownWarnings : public c10::WarningHandler {
 public:
  explicit KnownWarnings(const std::vector<c10::Warning>& known) : known_(known) {}
  void process(const c10::Warning& warning) override {
    if (!holds(known_, warning)) before_->process(warning);
  }

 private:
  const std::vector<c10::Warning>& known_;
  c10::WarningHandler* const before_ = c10::WarningUtils::get_warning_handler();
  const c10::WarningUtils::WarningHandlerGuard guard_{this};
};

}  // namespace mps_sim
