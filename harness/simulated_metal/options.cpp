// Reads the options' text. What is unknown or out of range ends the process with status 2 and a sentence: an option that was
// silently ignored would make a run's green worth nothing.
#include "options.h"

#include "simulated_metal.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <thread>

#include "runtime/random.h"

namespace simulated {

namespace {

constexpr int kMacosOldest = 13, kMacosNewest = 26;
constexpr const char* kVariable = "MPS_STRESS_METAL";

using Setter = std::function<std::string(Options&, const std::string&)>;

std::string whole(const std::string& value, uint64_t largest, const std::function<void(uint64_t)>& set) {
  char* end = nullptr;
  uint64_t number = std::strtoull(value.c_str(), &end, 10);
  if (value.empty() || *end != '\0' || value[0] == '-' || number > largest) {
    return "a whole number of at most " + std::to_string(largest);
  }
  set(number);
  return "";
}

std::string yes_or_no(const std::string& value, bool& option) {
  if (value != "0" && value != "1") return "0 or 1";
  option = value == "1";
  return "";
}

std::string macos(Options& options, const std::string& value) {
  int major = 0, minor = 0, used = 0;
  if (std::sscanf(value.c_str(), "%d%n.%d%n", &major, &used, &minor, &used) < 1 || used != static_cast<int>(value.size()) ||
      major < kMacosOldest || major > kMacosNewest || minor < 0) {
    return "a version of macOS from " + std::to_string(kMacosOldest) + " to " + std::to_string(kMacosNewest) + ", as in 14.4";
  }
  options.macos_major = major;
  options.macos_minor = minor;
  return "";
}

std::string completion(Options& options, const std::string& value) {
  static const std::map<std::string, Completion> known = {{"in_order", Completion::in_order},
                                                          {"delayed", Completion::delayed},
                                                          {"late_listener", Completion::late_listener},
                                                          {"slow_queue", Completion::slow_queue}};
  auto found = known.find(value);
  if (found == known.end()) return "in_order, delayed, late_listener or slow_queue";
  options.completion = found->second;
  return "";
}

std::string blocks(Options& options, const std::string& value) {
  if (value != "caller" && value != "elsewhere") return "caller or elsewhere";
  options.blocks_elsewhere = value == "elsewhere";
  return "";
}

const std::map<std::string, Setter>& setters() {
  static const std::map<std::string, Setter> table = {
      {"macos", macos},
      {"completion", completion},
      {"blocks", blocks},
      {"delay_us", [](Options& o, auto& v) { return whole(v, 10'000'000, [&](uint64_t n) { o.delay_us = static_cast<int>(n); }); }},
      {"seed", [](Options& o, auto& v) { return whole(v, INT64_MAX, [&](uint64_t n) { o.seed = n; }); }},
      {"memory_mb", [](Options& o, auto& v) { return whole(v, 1 << 20, [&](uint64_t n) { o.memory_bytes = n << 20; }); }},
      {"signposts", [](Options& o, auto& v) { return yes_or_no(v, o.signposts); }},
      {"kernel_races", [](Options& o, auto& v) { return yes_or_no(v, o.kernel_races); }},
      {"purges", [](Options& o, auto& v) { return yes_or_no(v, o.purges); }},
  };
  return table;
}

std::string parse(const std::string& text, Options& wanted) {
  for (size_t begin = 0, end = 0; begin < text.size(); begin = end + 1) {
    end = text.find(';', begin);
    if (end == std::string::npos) end = text.size();
    std::string part = text.substr(begin, end - begin);
    if (part.empty()) continue;
    size_t equals = part.find('=');
    auto found = setters().find(part.substr(0, equals));
    if (found == setters().end() || equals == std::string::npos) {
      std::string names;
      for (const auto& [name, unused] : setters()) names += (names.empty() ? "" : ", ") + name;
      return "simulated Metal: unknown option '" + part + "': choose from " + names;
    }
    std::string expected = found->second(wanted, part.substr(equals + 1));
    if (!expected.empty()) return "simulated Metal: " + part + ": expected " + expected;
  }
  return "";
}

Options from_environment() {
  Options options;
  const char* text = std::getenv(kVariable);
  std::string problem = parse(text == nullptr ? "" : text, options);
  if (!problem.empty()) {
    problem = std::string(kVariable) + ": " + problem + "\n";
    if (write(STDERR_FILENO, problem.data(), problem.size()) < 0) _exit(2);
    _exit(2);
  }
  return options;
}

Options& current() {
  static Options* const options = new Options(from_environment());
  return *options;
}

}  // namespace

const Options& options() { return current(); }

std::string configure(const std::string& text) {
  Options wanted;
  std::string problem = parse(text, wanted);
  if (problem.empty()) current() = wanted;
  return problem;
}

int pause_us(const char* what, uint64_t number) {
  uint64_t hash = options().seed;
  for (const char* letter = what; *letter != '\0'; ++letter) hash = mps_sim::mix(hash, static_cast<uint64_t>(*letter));
  return static_cast<int>(mps_sim::mix(hash, number) % (static_cast<uint64_t>(options().delay_us) + 1));
}

void pause(const char* what, uint64_t number) {
  int us = pause_us(what, number);
  if (us > 0) std::this_thread::sleep_for(std::chrono::microseconds(us));
}

}  // namespace simulated

extern "C" const char* simulated_metal_configure(const char* text) {
  static thread_local std::string problem;
  problem = simulated::configure(text);
  return problem.c_str();
}
