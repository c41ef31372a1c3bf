// Reads configure()'s text, as in "design=fork;faults=copy_torn:0.1:20". A value that is out of range is refused with
// what was expected: an option that was silently ignored would make the run's green worth nothing.
#include "options.h"

#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "device.h"
#include "order.h"

namespace mps_sim {

Options& options() {
  static Options* const the_options = new Options;
  return *the_options;
}

namespace {

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  size_t begin = 0;
  while (begin <= text.size()) {
    size_t end = text.find(separator, begin);
    if (end == std::string::npos) end = text.size();
    if (end > begin) parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

[[noreturn]] void refuse(const std::string& key, const std::string& value, const std::string& expected) {
  throw std::invalid_argument("simulated device: " + key + "=" + value + ": expected " + expected);
}

template <class Value>
Value number(const std::string& key, const std::string& value, double least) {
  size_t used = 0;
  double parsed = 0;
  try {
    parsed = std::stod(value, &used);
    if (used == value.size() && parsed >= least) {
      if constexpr (std::is_integral_v<Value>) return static_cast<Value>(std::stoull(value[0] == '-' ? "0" : value));
      return static_cast<Value>(parsed);
    }
  } catch (const std::exception&) {
  }
  refuse(key, value, "a number of at least " + std::to_string(static_cast<long>(least)));
}

template <class Value>
Value choice(const std::string& key, const std::string& value, const std::map<std::string, Value>& choices) {
  auto found = choices.find(value);
  if (found != choices.end()) return found->second;
  std::string names;
  for (const auto& [name, unused] : choices) names += (names.empty() ? "" : ", ") + name;
  refuse(key, value, "one of " + names);
}

// NAME:P[:WINDOW_US][/twin]
void arm(const std::string& text) {
  std::string spec = text;
  const std::string suffix = "/twin";
  bool twin = spec.size() > suffix.size() && spec.compare(spec.size() - suffix.size(), suffix.size(), suffix) == 0;
  if (twin) spec.resize(spec.size() - suffix.size());
  auto parts = split(spec, ':');
  if (parts.empty() || parts.size() > 3) refuse("faults", text, "NAME:PROBABILITY[:WINDOW_US][/twin]");
  double probability = parts.size() > 1 ? number<double>("faults", parts[1], 0) : 0.01;
  int window_us = parts.size() > 2 ? number<int>("faults", parts[2], 0) : 0;
  if (probability > 1) refuse("faults", text, "a probability of at most 1");
  arm_fault(fault_by_name(parts[0]), probability, window_us, twin);
}

int wait_ms(const std::string& value) { return value == "-1" ? -1 : number<int>("pool_wait_ms", value, 0); }

using Setter = std::function<void(Options&, const std::string&, const std::string&)>;

const std::map<std::string, Setter>& setters() {
  static const std::map<std::string, Design> designs = {
      {"fork", Design::fork}, {"fork-free-list", Design::fork_free_list}, {"upstream", Design::upstream}};
  static const std::map<std::string, ScheduleKind> schedules = {
      {"free", ScheduleKind::free}, {"random", ScheduleKind::random}, {"pct", ScheduleKind::pct}};
  static const std::map<std::string, Setter> table = {
      {"design", [](auto& o, auto& k, auto& v) { o.design = choice(k, v, designs); }},
      {"schedule", [](auto& o, auto& k, auto& v) { o.schedule = choice(k, v, schedules); }},
      {"seed", [](auto& o, auto& k, auto& v) { o.seed = number<uint64_t>(k, v, 0); }},
      {"commit_every", [](auto& o, auto& k, auto& v) { o.commit_every = number<int>(k, v, 1); }},
      {"queue_depth", [](auto& o, auto& k, auto& v) { o.queue_depth = number<int>(k, v, 1); }},
      {"compile_us", [](auto& o, auto& k, auto& v) { o.compile_us = number<int>(k, v, 0); }},
      {"jitter_us", [](auto& o, auto& k, auto& v) { o.jitter_us = number<int>(k, v, 0); }},
      {"memory_bytes_max", [](auto& o, auto& k, auto& v) { o.memory_bytes_max = number<size_t>(k, v, 0); }},
      {"order", [](auto& o, auto& k, auto& v) { o.checks_order = choice<bool>(k, v, {{"checked", true}, {"unchecked", false}}); }},
      {"pool_wait_ms", [](auto& o, auto&, auto& v) { o.pool_wait_ms = wait_ms(v); }},
      {"schedule_seed", [](auto& o, auto& k, auto& v) { o.schedule_seed = number<uint64_t>(k, v, 0); }},
      {"schedule_depth", [](auto& o, auto& k, auto& v) { o.schedule_depth = number<int>(k, v, 1); }},
      {"schedule_steps", [](auto& o, auto& k, auto& v) { o.schedule_steps = number<int>(k, v, 1); }},
      {"faults",
       [](auto&, auto&, auto& v) {
         for (const auto& one : split(v, ',')) arm(one);
       }},
  };
  return table;
}

}  // namespace

void configure(const std::string& text) {
  Options wanted;
  disarm_faults();
  for (const auto& part : split(text, ';')) {
    size_t equals = part.find('=');
    std::string key = part.substr(0, equals);
    auto found = setters().find(key);
    if (found == setters().end() || equals == std::string::npos) {
      std::string names;
      for (const auto& [name, unused] : setters()) names += (names.empty() ? "" : ", ") + name;
      throw std::invalid_argument("simulated device: unknown setting '" + part + "': choose from " + names);
    }
    found->second(wanted, key, part.substr(equals + 1));
  }
  options() = wanted;
  order::switch_on(wanted.checks_order);
  order::take_broken();  // Of whoever used the process before.
  set_memory_limit(wanted.memory_bytes_max);
  seed_faults(wanted.seed);
}

}  // namespace mps_sim
