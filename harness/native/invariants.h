// What the harness found wrong by itself: broken invariants, as JSON lines on stdout. Safe from any thread.
#pragma once

#include <cstdint>
#include <string>

namespace harness {

std::string json_text(const std::string& text);  // Quoted and escaped.

void print_line(const std::string& json);        // One write, so that lines of several threads stay whole.

// Prints the first twenty, counts all.
void violation(const char* invariant, const std::string& text);
uint64_t violation_count();

// `violation`, when it does not hold. Returns whether it holds.
bool expect(bool holds, const char* invariant, const std::string& text);

}  // namespace harness
