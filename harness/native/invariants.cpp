// Broken invariants as JSON lines. Each line is one write(2) and not printf: stdio's lock would order the threads, and a
// process that dies next would take its buffer along.
#include "invariants.h"

#include <unistd.h>

#include <atomic>
#include <cstdio>

namespace harness {

namespace {
constexpr uint64_t kPrinted = 20;
std::atomic<uint64_t> violations{0};
}  // namespace

std::string json_text(const std::string& text) {
  std::string quoted = "\"";
  for (char one : text) {
    auto code = static_cast<unsigned char>(one);
    if (one == '"' || one == '\\') {
      quoted += '\\';
      quoted += one;
    } else if (code < 0x20 || code >= 0x7f) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", code);
      quoted += escaped;
    } else {
      quoted += one;
    }
  }
  return quoted + '"';
}

void print_line(const std::string& json) {
  std::string line = json + "\n";
  size_t done = 0;
  while (done < line.size()) {
    ssize_t written = write(STDOUT_FILENO, line.data() + done, line.size() - done);
    if (written <= 0) return;
    done += static_cast<size_t>(written);
  }
}

void violation(const char* invariant, const std::string& text) {
  if (violations.fetch_add(1, std::memory_order_relaxed) >= kPrinted) return;
  print_line("{\"kind\":\"violation\",\"invariant\":" + json_text(invariant) + ",\"text\":" + json_text(text) + "}");
}

uint64_t violation_count() { return violations.load(std::memory_order_relaxed); }

bool expect(bool holds, const char* invariant, const std::string& text) {
  if (!holds) violation(invariant, text);
  return holds;
}

}  // namespace harness
