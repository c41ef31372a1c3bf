// The cases of this folder.
#pragma once

#include "native/cases.h"

namespace harness {

void run_device_first_use(const Settings& settings);
void run_first_use(const Settings& settings);
void run_allocator_first_use(const Settings& settings);
void run_events_first_use(const Settings& settings);
void run_profiler_first_use(const Settings& settings);
void run_generator_first_use(const Settings& settings);
void run_graph_cache_first_use(const Settings& settings);
void run_pipelines(const Settings& settings);
void run_synchronize(const Settings& settings);
void run_commit_stream(const Settings& settings);
void run_statistics(const Settings& settings);
void run_pressure(const Settings& settings);
void run_event_shared(const Settings& settings);
void run_elapsed_twice(const Settings& settings);
void run_profiler_switched(const Settings& settings);
void run_copies(const Settings& settings);
void run_non_blocking(const Settings& settings);
void run_copies_cast(const Settings& settings);
void run_generator(const Settings& settings);
void run_capture_first_use(const Settings& settings);
void run_guard_synchronize(const Settings& settings);
void run_hooks_command_buffer(const Settings& settings);
void run_memory_fraction(const Settings& settings);
void run_event_synchronize_shared(const Settings& settings);
void run_event_unknown(const Settings& settings);
void run_event_acquire(const Settings& settings);
void run_event_recycled(const Settings& settings);
void run_non_blocking_strided(const Settings& settings);
void run_gappy_copy(const Settings& settings);
void run_generator_clone(const Settings& settings);

}  // namespace harness
