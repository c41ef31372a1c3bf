// The bug zoo's switches. What each fault models is told in stress/device/sim/zoo.py; where it lives, beside the code it breaks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mps_sim {

#define MPS_SIM_FAULTS(X)              \
  X(pool_counter_unlocked)             \
  X(pool_two_threads_one_stream)       \
  X(pool_dangling_slot)                \
  X(pool_slot_leak)                    \
  X(pool_wrong_stream_for_main)        \
  X(pool_binding_lost)                 \
  X(encoder_outside_queue)             \
  X(commit_twice)                      \
  X(handler_after_commit)              \
  X(commit_open_encoder)               \
  X(encoder_released)                  \
  X(allocator_free_list)               \
  X(allocator_reuse_before_completion) \
  X(record_stream_missing)             \
  X(record_stream_first_only)          \
  X(allocator_aba)                     \
  X(allocator_size_class)              \
  X(allocator_statistics_unlocked)     \
  X(event_wait_missing)                \
  X(event_wrong_ticket)                \
  X(event_pool_crosstalk)              \
  X(event_elapsed_time_deadlock)       \
  X(graph_cache_unlocked)              \
  X(graph_cache_wrong_key)             \
  X(graph_cache_double_compile)        \
  X(graph_cache_cleared_in_use)        \
  X(lock_order_inversion)              \
  X(dispatch_sync_reentrant)           \
  X(synchronize_skips_stream)          \
  X(wait_lost_wakeup)                  \
  X(error_swallowed)                   \
  X(error_wrong_thread)                \
  X(copy_torn)                         \
  X(scalar_buffer_reused)              \
  X(linear_shared_scratch)             \
  X(layer_norm_shared_statistics)      \
  X(op_pair_order)                     \
  X(generator_unlocked)                \
  X(fork_state_reused)                 \
  X(exit_static_destruction)           \
  X(thread_exit_in_flight)             \
  X(copy_source_freed)                 \
  X(batch_queue_wrong_future)        \
  X(stream_synchronize_outside_queue)\
  X(fallback_waits_outside_queue)    \
  X(backward_on_wrong_stream)        \
  X(dispatch_write_after_read)       \
  X(synchronize_stops_at_error)      \
  X(event_time_reversed)             \
  X(graph_cache_key_without_mode)    \
  X(wait_holds_gil)                  \
  X(shader_library_unlocked)         \
  X(timing_pin_leaked)

enum class Fault : uint8_t {
#define MPS_SIM_FAULT_ENUM(name) name,
  MPS_SIM_FAULTS(MPS_SIM_FAULT_ENUM)
#undef MPS_SIM_FAULT_ENUM
      count
};

// True when this pass through the fault's place takes the unsafe path. False when the fault is off, its lot says no,
// it is armed as a twin, or fewer than two threads use the device. Costs one relaxed load while nothing is armed.
bool strikes(Fault fault);

// The pause in the middle of an unsafe path: as long as the switch says (mostly not at all), and always a point at
// which the replayable mode may hand over to another thread.
void window(Fault fault);

std::vector<std::string> fault_names();

// Throws std::invalid_argument, listing the known names, for one that is unknown.
Fault fault_by_name(const std::string& name);

void arm_fault(Fault fault, double probability, int window_us, bool twin);
void disarm_faults();
void seed_faults(uint64_t seed);

// Whether the switch is on, whatever the lot says (as a twin too): for the other half of a path that two threads share.
bool is_armed(Fault fault);
bool is_twin(Fault fault);  // Armed, and never to take the unsafe path.

// How often the fault's lot said yes in this process (a twin counts too).
uint64_t fault_count(Fault fault);

// The zoo's gate: threads that have used the device since the last device-wide synchronisation.
void note_thread_uses_device();
void note_device_idle();
int threads_in_use();

}  // namespace mps_sim
