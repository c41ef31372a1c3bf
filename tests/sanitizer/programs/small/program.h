// What the parts of the small harness know of each other.
#pragma once

#include <functional>
#include <string>

struct Settings {
  std::string case_name;
  int threads = 8;
  int iterations = 50;
  unsigned long seed = 1;
  std::string fault;  // Empty, or the name of the armed one.
  bool is_twin = false;

  bool strikes(const char* name) const { return fault == name && !is_twin; }
};

// What a case has to say at its end.
struct Done {
  long operations = 0;
  long violations = 0;
  long struck = 0;
};

// Starts `threads` threads that pass a spin barrier together: a lock would order them, and hide a race.
void run_threads(int threads, const std::function<void(int)>& body);

// Waits until `count` threads have come, by relaxed atomics alone.
void meet(int& arrived, int count);

Done run_canary(const Settings& settings);
Done run_history_canary(const Settings& settings);
Done run_guarded_twin(const Settings& settings);
Done run_counter(const Settings& settings);
Done run_stuck(const Settings& settings);
