// What the simulated Metal is: which macOS, how much memory, and when what was committed completes. Read from the variable
// MPS_STRESS_METAL at first use, as in "completion=delayed;delay_us=2000;seed=7;macos=14.4".
#pragma once

#include <cstdint>
#include <string>

namespace simulated {

enum class Completion {
  in_order,       // A command buffer runs as soon as those before it on its queue have.
  delayed,        // ... after a pause of up to `delay_us` of its own.
  late_listener,  // A shared event's listeners are called up to `delay_us` after the signal.
  slow_queue,     // Every second command queue takes up to `delay_us` per command buffer; the others none.
};

struct Options {
  int macos_major = 15, macos_minor = 1;
  Completion completion = Completion::in_order;
  int delay_us = 500;
  uint64_t seed = 1;
  bool blocks_elsewhere = false;      // dispatch_sync runs its block on the queue's own thread, as libdispatch may.
  uint64_t memory_bytes = 8ull << 30; // recommendedMaxWorkingSetSize; a quarter more is where allocations fail.
  bool signposts = false;             // os_signpost_enabled.
  bool kernel_races = false;          // Ends the process at a race of two threads of a Metal kernel.
  bool purges = false;                // Whatever is made volatile is emptied at once.
};

const Options& options();

// Replaces all options, before anything else is used. Returns what is wrong with the text; empty if nothing.
std::string configure(const std::string& text);

// A pause for this event, of 0 to `delay_us`, from the seed, what it is for and its number: the same in every run.
int pause_us(const char* what, uint64_t number);
void pause(const char* what, uint64_t number);

}  // namespace simulated
