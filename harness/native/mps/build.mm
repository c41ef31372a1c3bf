// What this build of PyTorch is, as far as the cases need to know.
#include "native/mps/streams.h"

namespace harness::backend {

#ifdef __APPLE__
const char* platform() { return "metal"; }
#else
const char* platform() { return "core"; }  // The tree's own code; Metal is simulated.
#endif

// Which design a fork's pool has is not in its headers. What is promised of slots with one holder ("fork-free-list") is
// therefore not checked on a Mac.
std::vector<std::string> designs() { return {has_fork_pool ? "fork" : "upstream"}; }

void use_design(const std::string&) {}

void arm(const std::string& fault, double, int, bool) {
  throw std::invalid_argument("the fault " + fault + " is one of the simulated device, and this is PyTorch's own code");
}

uint64_t struck(const std::string&) { return 0; }

}  // namespace harness::backend
