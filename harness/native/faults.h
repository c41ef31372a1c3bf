// The faults that the harness can switch on, and who must find each: declared here, before any run.
#pragma once

#include <string>
#include <vector>

namespace harness {

enum class Detector { tsan, metal, invariant };

struct FaultSwitch {
  const char* name;
  const char* case_name;
  Detector detector;
  double probability;  // Of one pass through its place.
  int window_us;       // The pause on its unsafe path.
  bool is_of_case;     // Lives in the case itself, so that it can be switched on over real Metal too.
  const char* about;
};

const std::vector<FaultSwitch>& fault_switches();
const char* detector_name(Detector detector);

// "NAME[/twin][:PROBABILITY[:WINDOW_US]]"; throws std::invalid_argument that lists the known names.
struct ArmedFault {
  const FaultSwitch* fault = nullptr;
  bool is_twin = false;
};
ArmedFault arm_fault(const std::string& text);

// Whether a fault of the case itself strikes at this pass: armed, and not as a twin.
bool case_fault(const char* name);
unsigned long case_fault_count();

}  // namespace harness
