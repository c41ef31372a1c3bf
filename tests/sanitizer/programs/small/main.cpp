// Arguments, the list, and the lines before and after a case.
#include "program.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

namespace {

Done do_nothing(const Settings&) { return {}; }

struct Entry {
  const char* kind;
  const char* name;
  Done (*run)(const Settings&);
  const char* variable;
};

const Entry kEntries[] = {
    {"case", "counter", run_counter, ""},
    {"case", "nothing", do_nothing, ""},       // Ends with 3, as the real harness does.
    {"case", "idle", do_nothing, ""},          // Ends with 0 although it did nothing.
    {"case", "mute", do_nothing, ""},          // Prints nothing at all.
    {"case", "stuck", run_stuck, ""},          // Races, then never ends.
    {"case", "elsewhere", do_nothing, ""},     // For real Metal only.
    {"case", "lacking", do_nothing, ""},       // Needs what its backend does not have: ends with 4, as the real one does.
    {"control", "canary", run_canary, "mps_race_canary"},
    {"control", "canary_history", run_history_canary, "mps_race_canary_history"},
    {"control", "guarded_twin", run_guarded_twin, "mps_race_canary"},
};

const char* kFaults[][2] = {
    {"counter_unlocked", "tsan"}, {"encoder_taken_twice", "metal"}, {"count_lost", "invariant"}};

int list() {
  for (const Entry& one : kEntries) {
    std::printf("{\"kind\": \"%s\", \"name\": \"%s\", \"about\": \"of the small harness\", ", one.kind, one.name);
    if (*one.variable != '\0') {
      std::printf("\"variable\": \"%s\"}\n", one.variable);
    } else {
      std::printf("\"platforms\": [%s\"metal\"], \"threads_min\": 2}\n",
                  std::strcmp(one.name, "elsewhere") == 0 ? "" : "\"simulated\", ");
    }
  }
  for (auto& [name, detector] : kFaults)
    std::printf("{\"kind\": \"fault\", \"name\": \"%s\", \"case\": \"counter\", \"detector\": \"%s\", \"about\": \"\"}\n", name, detector);
  return 0;
}

bool has(const char* argument, const char* name, const char** value) {
  size_t length = std::strlen(name);
  if (std::strncmp(argument, name, length) != 0 || argument[length] != '=') return false;
  *value = argument + length + 1;
  return true;
}

Settings parse(int count, char** arguments) {
  Settings settings;
  for (int index = 1; index < count; ++index) {
    const char* value = nullptr;
    if (has(arguments[index], "--case", &value)) settings.case_name = value;
    if (has(arguments[index], "--threads", &value)) settings.threads = std::atoi(value);
    if (has(arguments[index], "--iterations", &value)) settings.iterations = std::atoi(value);
    if (has(arguments[index], "--seed", &value)) settings.seed = std::strtoul(value, nullptr, 10);
    if (has(arguments[index], "--fault", &value)) {
      std::string text = value;
      settings.fault = text.substr(0, text.find('/'));
      settings.is_twin = text.find("/twin") != std::string::npos;
    }
  }
  return settings;
}

bool is_instrumented() {
#if defined(__has_feature) && __has_feature(thread_sanitizer)
  return true;
#else
  return false;
#endif
}

int run(const Entry& entry, const Settings& settings) {
#ifdef __APPLE__
  const char* platform = "metal";
#else
  const char* platform = "simulated";
#endif
  if (settings.case_name == "mute") return 0;
  std::string fault = settings.fault.empty() ? "null" : "\"" + settings.fault + "\"";
  std::printf("{\"kind\": \"start\", \"case\": \"%s\", \"threads\": %d, \"iterations\": %d, \"seed\": %lu, \"fault\": %s, "
              "\"platform\": \"%s\", \"tsan\": %s, \"pid\": 0}\n",
              entry.name, settings.threads, settings.iterations, settings.seed, fault.c_str(), platform,
              is_instrumented() ? "true" : "false");
  std::fflush(stdout);
  Done done = entry.run(settings);
  if (settings.case_name == "nothing") return 3;
  bool is_lacking = settings.case_name == "lacking";
  if (is_lacking) std::printf("{\"kind\": \"unavailable\", \"function\": \"getStreamFromPool\"}\n");
  std::printf("{\"kind\": \"end\", \"case\": \"%s\", \"operations\": %ld, \"handlers\": 0, \"violations\": %ld, "
              "\"struck\": %ld, \"milliseconds\": 1}\n", entry.name, done.operations, done.violations, done.struck);
  return done.violations != 0 ? 1 : is_lacking ? 4 : 0;
}

}  // namespace

void meet(int& arrived, int count) {
  __atomic_fetch_add(&arrived, 1, __ATOMIC_RELAXED);
  while (__atomic_load_n(&arrived, __ATOMIC_RELAXED) < count) std::this_thread::yield();
}

void run_threads(int threads, const std::function<void(int)>& body) {
  int arrived = 0;
  std::vector<std::thread> crew;
  for (int index = 0; index < threads; ++index) {
    crew.emplace_back([&, index] {
      meet(arrived, threads);
      body(index);
    });
  }
  for (std::thread& one : crew) one.join();
}

int main(int count, char** arguments) {
  if (count == 2 && std::strcmp(arguments[1], "--list") == 0) return list();
  Settings settings = parse(count, arguments);
  for (const Entry& one : kEntries)
    if (settings.case_name == one.name) return run(one, settings);
  std::fprintf(stderr, "there is no case %s\n", settings.case_name.c_str());
  return 2;
}
