// A broken rule ends the process with the text of Metal's validation, by which results/known names real aborts too; the class
// name in the text says that this one was simulated.
#include "assertions.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace mps_sim {

namespace {

void write_to_stderr(const std::string& text) {
  // One system call, so that the last words of a dying process stay in one piece.
  if (write(STDERR_FILENO, text.data(), text.size()) < 0) return;
}

}  // namespace

void metal_assertion(const char* method, const char* text, const char* class_name) {
  write_to_stderr(std::string("-[") + class_name + " " + method + "]: failed assertion `" + text + "'\n");
  abort();
}

void dispatch_sync_deadlock() {
  write_to_stderr("BUG IN CLIENT OF LIBDISPATCH (simulated): dispatch_sync called on queue already owned by current thread\n");
  raise(SIGTRAP);
  abort();
}

void not_simulated(const std::string& what) {
  write_to_stderr("mps-stress: not simulated: " + what + "\n");
  abort();
}

}  // namespace mps_sim
