// The list of cases. The design is part of a case's row, since the invariants of some are promises of one stream pool
// alone. The counter of handlers is relaxed: a count that ordered the threads would hide races from ThreadSanitizer.
#include "cases.h"

#include <atomic>

namespace harness {

namespace {
std::atomic<uint64_t> handlers{0};
}  // namespace

const std::vector<Case>& cases() {
  static const std::vector<Case> all = [] {
    std::vector<Case> both = {
        {"stream_pool", "main thread on stream 0, workers on streams of their own, right values", "fork", true, 1, false, false, run_stream_pool},
        {"pool_churn", "short-lived threads and released slots: a stream has one holder", "fork-free-list", true, 1, false, false, run_pool_churn},
        {"shared_stream", "all threads encode to, commit and wait for one stream", "upstream", true, 1, false, false, run_shared_stream},
        {"command_buffer", "Metal's command-buffer protocol, own and shared buffers, no framework", "fork", false, 1, false, false, run_command_buffer},
        {"multi_queue", "a Metal queue per thread, ordered by shared events where needed", "fork", false, 2, false, false, run_multi_queue},
        {"completion_handlers", "completion handlers that share state with the encoding threads", "fork", false, 1, false, false, run_completion_handlers},
        {"reentrant_dispatch_sync", "a serial queue entered by code that may be on it already", "fork", false, 1, false, false, run_reentrant_dispatch_sync},
        {"record_stream", "buffers used by other streams: six situations", "fork", false, 1, false, false, run_record_stream},
        {"event_pool", "events between streams, from a shared pool", "fork", false, 1, false, false, run_event_pool},
        {"event_timing", "elapsed time between two events, with and without a wait before", "fork", false, 1, false, false, run_event_timing},
        {"allocator", "free lists under pressure: buffers are disjoint and all come back", "fork", false, 1, false, false, run_allocator},
        {"graph_cache", "compiled graphs: cold start, and shapes with different constants", "upstream", false, 1, false, false, run_graph_cache},
        {"graph_cache_clear", "the graph cache is cleared while others use it", "upstream", false, 1, false, false, run_graph_cache_clear},
        {"synchronize_all", "one thread waits for all streams while the others encode", "fork", false, 1, false, false, run_synchronize_all},
        {"thread_exit", "threads, and the process, end with work in flight", "fork", false, 1, false, false, run_thread_exit},
        {"errors", "asynchronous errors reach the thread that caused them", "fork", false, 1, true, false, run_errors},
    };
    std::vector<Case> own = backend_cases();
    both.insert(both.end(), own.begin(), own.end());
    return both;
  }();
  return all;
}

const Case* find_case(const std::string& name) {
  for (const Case& one : cases()) {
    if (name == one.name) return &one;
  }
  return nullptr;
}

void count_handler() { handlers.fetch_add(1, std::memory_order_relaxed); }
uint64_t handlers_run() { return handlers.load(std::memory_order_relaxed); }

}  // namespace harness
