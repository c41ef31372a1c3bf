// The driver of the small tree in tests/core_tree: the real harness's program, crew and controls over one case, which fills
// buffers on the tree's stream from all threads.
#include <ATen/mps/MPSDevice.h>
#include <ATen/mps/MPSStream.h>

#include <stdexcept>

#include "native/backend.h"
#include "native/cases.h"
#include "native/faults.h"
#include "native/invariants.h"

namespace harness {

namespace backend {
const char* platform() { return "core"; }
std::vector<std::string> designs() { return {"upstream"}; }
void use_design(const std::string&) {}
uint64_t struck(const std::string&) { return 0; }
}  // namespace backend

namespace {

constexpr size_t kBytes = 64;

void run_fill(const Settings& settings) {
  at::mps::MPSStream* stream = at::mps::getDefaultMPSStream();
  run_crew(settings, settings.threads, [&](Worker& worker) {
    id<MTLBuffer> buffer = [at::mps::MPSDevice::getInstance()->device() newBufferWithLength:kBytes
                                                                                    options:MTLResourceStorageModeShared];
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      @autoreleasepool {
        stream->fill(buffer, worker.byte(iteration));
        stream->synchronize();
      }
      const auto* first = static_cast<const uint8_t*>([buffer contents]);
      expect(*first == worker.byte(iteration), "value", "a buffer does not have what it was filled with");
      worker.done();
    }
    [buffer release];
  });
}

void run_lacking(const Settings&) { end_unavailable("getStreamFromPool"); }

}  // namespace

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"fill", "buffers filled on one stream", "upstream", false, 2, false, true, run_fill},
      {"lacking", "what this tree does not have", "upstream", false, 1, false, true, run_lacking},
  };
  return all;
}

const Case* find_case(const std::string& name) {
  for (const Case& one : cases()) {
    if (name == one.name) return &one;
  }
  return nullptr;
}

uint64_t handlers_run() { return 0; }

const std::vector<FaultSwitch>& fault_switches() {
  static const std::vector<FaultSwitch> none;
  return none;
}

const char* detector_name(Detector) { return "tsan"; }
ArmedFault arm_fault(const std::string& text) { throw std::invalid_argument("there is no fault " + text); }
unsigned long case_fault_count() { return 0; }

}  // namespace harness
