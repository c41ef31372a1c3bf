// How the process ends when a rule of Metal or of libdispatch is broken, or when the simulation does not know what was asked for.
#pragma once

#include <string>

namespace mps_sim {

// In Metal's own words where it has some: "-[CLASS METHOD]: failed assertion `TEXT'", SIGABRT.
[[noreturn]] void metal_assertion(const char* method, const char* text, const char* class_name = "SimulatedCommandBuffer");
[[noreturn]] void dispatch_sync_deadlock();

// "mps-stress: not simulated: WHAT", SIGABRT: what does nothing instead of its work would look like a wrong value, or like none.
[[noreturn]] void not_simulated(const std::string& what);

}  // namespace mps_sim
