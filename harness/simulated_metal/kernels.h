// Metal functions by name: what a dispatch of one does on the host.
#pragma once

#include "simulated_metal.h"

namespace simulated {

HostKernel find_kernel(const std::string& name);  // Ends the process with the name of one that has no body.

}  // namespace simulated
