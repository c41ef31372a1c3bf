// mps-harness: runs one case from N threads and says on stdout, in JSON lines, what it did and which invariants broke.
// Metal's assertions and ThreadSanitizer's reports are on stderr. `mps-stress tsan` is what calls this.
//
//   mps-harness --list
//   mps-harness --case=NAME [--threads=8] [--iterations=50] [--seed=1] [--fault=NAME[/twin][:PROBABILITY[:WINDOW_US]]]
//
// Exit status: 0 done, 1 an invariant broke, 2 usage, 3 the case did nothing, 4 this backend cannot run the case (the line
// "unavailable" says what it lacks); else ThreadSanitizer's, or a signal.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "backend.h"
#include "cases.h"
#include "faults.h"
#include "invariants.h"

namespace harness {

namespace {

constexpr int kThreadsMax = 1024;
constexpr int kIterationsMax = 10'000'000;
constexpr double kStallSeconds = 1.0;
constexpr double kStallSecondsOfCore = 4.0;  // A report waits while the symbolizer reads libtorch, for seconds on a busy machine.

struct Arguments {
  Settings settings;
  std::string fault;
  bool is_list = false;
};

long long number(const std::string& option, const std::string& text, long long smallest, long long largest) {
  char* end = nullptr;
  long long value = std::strtoll(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || value < smallest || value > largest) {
    throw std::invalid_argument(option + "=" + text + ": write a whole number from " + std::to_string(smallest) + " to " +
                                std::to_string(largest));
  }
  return value;
}

Arguments parse(int count, char** words) {
  Arguments arguments;
  for (int index = 1; index < count; ++index) {
    std::string word = words[index];
    size_t equals = word.find('=');
    std::string option = word.substr(0, equals), value = equals == std::string::npos ? "" : word.substr(equals + 1);
    if (word == "--list") {
      arguments.is_list = true;
    } else if (option == "--case") {
      arguments.settings.case_name = value;
    } else if (option == "--threads") {
      arguments.settings.threads = static_cast<int>(number(option, value, 1, kThreadsMax));
    } else if (option == "--iterations") {
      arguments.settings.iterations = static_cast<int>(number(option, value, 1, kIterationsMax));
    } else if (option == "--seed") {
      arguments.settings.seed = static_cast<uint64_t>(number(option, value, 0, INT64_MAX));
    } else if (option == "--fault") {
      arguments.fault = value;
    } else {
      throw std::invalid_argument("unknown option " + word + ": --list, or --case=NAME with --threads, --iterations, --seed, --fault");
    }
  }
  return arguments;
}

bool is_instrumented() {
#if defined(__SANITIZE_THREAD__)
  return true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
  return true;
#else
  return false;
#endif
#else
  return false;
#endif
}

std::string field(const char* name, const std::string& text) { return "\"" + std::string(name) + "\":" + json_text(text); }
std::string field(const char* name, uint64_t value) { return "\"" + std::string(name) + "\":" + std::to_string(value); }

void print_list() {
  bool is_simulated = std::string(backend::platform()) == "simulated";
  for (const Case& one : cases()) {
    if (one.needs_simulation && !is_simulated) continue;
    std::string platforms = one.needs_simulation ? "[\"simulated\"]"
                            : one.needs_pytorch  ? "[\"metal\",\"core\"]"
                                                 : "[\"simulated\",\"metal\",\"core\"]";
    print_line("{\"kind\":\"case\"," + field("name", one.name) + "," + field("about", one.about) + ",\"platforms\":" + platforms + "," +
               field("design", one.design) + "," + field("threads_min", static_cast<uint64_t>(one.threads_min)) + "}");
  }
  for (const Control& one : controls()) {
    print_line("{\"kind\":\"control\"," + field("name", one.name) + "," + field("about", one.about) + "," + field("variable", one.variable) + "}");
  }
  for (const FaultSwitch& one : fault_switches()) {
    if (!one.is_of_case && !is_simulated) continue;
    print_line("{\"kind\":\"fault\"," + field("name", one.name) + "," + field("case", one.case_name) + "," +
               field("detector", detector_name(one.detector)) + "," + field("about", one.about) + "}");
  }
}

void print_start(const Settings& settings, const std::string& fault) {
  print_line("{\"kind\":\"start\"," + field("case", settings.case_name) + "," + field("threads", static_cast<uint64_t>(settings.threads)) + "," +
             field("iterations", static_cast<uint64_t>(settings.iterations)) + "," + field("seed", settings.seed) +
             ",\"fault\":" + (fault.empty() ? "null" : json_text(fault)) + "," + field("platform", backend::platform()) +
             ",\"tsan\":" + (is_instrumented() ? "true" : "false") + "," + field("pid", static_cast<uint64_t>(getpid())) + "}");
}

uint64_t times_struck(const ArmedFault& armed) {
  if (armed.fault == nullptr) return 0;
  return armed.fault->is_of_case ? case_fault_count() : backend::struck(armed.fault->name);
}

// What the end line tells, also when the watchdog ends the process.
struct Run {
  const Settings* settings;
  ArmedFault armed;
  std::chrono::steady_clock::time_point started;
};
Run the_run;

void print_end() {
  double milliseconds = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - the_run.started).count();
  char spent[32];
  std::snprintf(spent, sizeof spent, "%.1f", milliseconds);
  print_line("{\"kind\":\"end\"," + field("case", the_run.settings->case_name) + "," + field("operations", operations_done()) + "," +
             field("handlers", handlers_run()) + "," + field("violations", violation_count()) + "," +
             field("struck", times_struck(the_run.armed)) + ",\"milliseconds\":" + spent + "}");
}

void end_run() {
  stop_watchdog();
  print_end();
}

void require_design(const std::string& design) {
  std::vector<std::string> had = backend::designs();
  if (std::find(had.begin(), had.end(), design) == had.end()) end_unavailable("the stream pool \"" + design + "\"");
}

int run(const Arguments& arguments) {
  const Settings& settings = arguments.settings;
  const Case* one = find_case(settings.case_name);
  const Control* control = nullptr;
  std::string known;
  for (const Control& candidate : controls()) {
    known += std::string(candidate.name) + ", ";
    if (settings.case_name == candidate.name) control = &candidate;
  }
  for (const Case& candidate : cases()) known += std::string(known.empty() || known.back() == ' ' ? "" : ", ") + candidate.name;
  if (one == nullptr && control == nullptr) {
    throw std::invalid_argument("unknown case '" + settings.case_name + "': choose from " + known);
  }
  if (one != nullptr && settings.threads < one->threads_min) {
    throw std::invalid_argument(settings.case_name + " needs --threads=" + std::to_string(one->threads_min) + " or more");
  }
  backend::use_design(one != nullptr ? one->design : "fork");
  ArmedFault armed = arguments.fault.empty() ? ArmedFault{} : arm_fault(arguments.fault);
  // A fault of the simulated device can be armed in any case, where it may strike unseen; its own one is known to show it.
  if (armed.fault != nullptr && armed.fault->is_of_case && settings.case_name != armed.fault->case_name) {
    throw std::invalid_argument(std::string("the fault ") + armed.fault->name + " belongs to --case=" + armed.fault->case_name);
  }
  print_start(settings, arguments.fault);
  the_run = {&settings, armed, std::chrono::steady_clock::now()};
  std::atexit(end_run);  // After the device's own handler, which is registered later: a hang there is a hang of the run.
  start_watchdog(backend::platform() == std::string("core") ? kStallSecondsOfCore : kStallSeconds, print_end);
  if (one != nullptr && one->needs_design) require_design(one->design);
  std::string error = error_of([&] { one != nullptr ? one->run(settings) : control->run(settings); });
  if (!error.empty()) violation("exception", "main thread: " + error);
  if (violation_count() > 0) return 1;
  return operations_done() == 0 ? 3 : 0;
}

}  // namespace

}  // namespace harness

int main(int count, char** words) {
  try {
    static const harness::Arguments arguments = harness::parse(count, words);  // Exit handlers still look at it.
    if (!arguments.is_list) return harness::run(arguments);
    harness::print_list();
    return 0;
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "mps-harness: %s\n", error.what());
    return 2;
  }
}
