// The cases, by name. Each one drives the backend or bare Metal from a crew and says what it expects.
#pragma once

#include <string>
#include <vector>

#include "crew.h"

namespace harness {

struct Case {
  const char* name;
  const char* about;
  const char* design;   // Of the stream pool, where that can be chosen.
  bool needs_design;    // Its invariants are promises of that design: with another one they would be false alarms.
  int threads_min;
  bool needs_simulation;  // Provokes what no call of the real backend can provoke.
  bool needs_pytorch;     // Drives PyTorch's own interfaces.
  void (*run)(const Settings& settings);
};

const std::vector<Case>& cases();  // Those for every backend, and the backend's own.
std::vector<Case> backend_cases();  // The backend's own, beside it: what only its interface allows.
const Case* find_case(const std::string& name);

// Plants races that ThreadSanitizer must find, or must not: see controls.cpp.
struct Control {
  const char* name;
  const char* about;
  const char* variable;
  void (*run)(const Settings& settings);
};

const std::vector<Control>& controls();

// Completion handlers that have run, for the end line.
void count_handler();
uint64_t handlers_run();

// ---- one per file in cases/
void run_stream_pool(const Settings& settings);
void run_pool_churn(const Settings& settings);
void run_shared_stream(const Settings& settings);
void run_command_buffer(const Settings& settings);
void run_multi_queue(const Settings& settings);
void run_completion_handlers(const Settings& settings);
void run_reentrant_dispatch_sync(const Settings& settings);
void run_record_stream(const Settings& settings);
void run_event_pool(const Settings& settings);
void run_event_timing(const Settings& settings);
void run_allocator(const Settings& settings);
void run_graph_cache(const Settings& settings);
void run_graph_cache_clear(const Settings& settings);
void run_synchronize_all(const Settings& settings);
void run_thread_exit(const Settings& settings);
void run_errors(const Settings& settings);

}  // namespace harness
