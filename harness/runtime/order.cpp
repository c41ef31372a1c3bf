// The clocks. Promises are joined where a call of the program returns, and what was kept where a thread has waited, so that
// of two orders the kept one is always noted first: what is promised to work and missing when it begins was never enforced.
#include "order.h"

#include <cstdio>

#include "order_state.h"

#if defined(__SANITIZE_THREAD__)
#define MPS_SIM_ORDER_OFF 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MPS_SIM_ORDER_OFF 1
#endif
#endif

namespace mps_sim::order {

namespace {

std::atomic<bool> on{true};
std::array<std::atomic<uint64_t>, kStreamsMax> host_seen_so_far;  // A look without the mutex.

size_t index_of(StreamId stream) { return static_cast<size_t>(stream); }

// What `stream` had seen when it had come to `position`. Where that is forgotten, a later knowledge: it finds less.
void join_knowledge(Positions& into, StreamId stream, uint64_t position) {
  const auto& history = state().workers[index_of(stream)].history;
  auto after = std::upper_bound(history.begin(), history.end(), position,
                                [](uint64_t ticket, const auto& entry) { return ticket < entry.first; });
  if (after != history.begin()) --after;
  if (after != history.end()) join(into, *after->second);
  into[index_of(stream)] = std::max(into[index_of(stream)], position);
}

void remember(Worker& worker, uint64_t ticket) {
  worker.history.emplace_back(ticket, std::make_shared<const Positions>(worker.seen));
  if (worker.history.size() > kHistoryKept) worker.history.pop_front();
}

const Known& host_seen() {
  State& all = state();
  if (all.host_seen_shared == nullptr) all.host_seen_shared = std::make_shared<const Positions>(all.host_seen);
  return all.host_seen_shared;
}

void name_side(Side& side) {
  if (side.stream < 0 || side.name != nullptr) return;
  const Named& named = state().workers[index_of(side.stream)].names[side.ticket % kNamesKept];
  if (named.ticket == side.ticket) {
    side.name = named.name;
    side.step = named.step;
  }
}

// Of works that had not begun when they were missed.
void name_the_unnamed(StreamId stream, uint64_t ticket) {
  for (Broken& one : state().broken) {
    if (one.earlier.stream == stream && one.earlier.ticket == ticket) name_side(one.earlier);
  }
}

std::string text_of(StreamId stream) { return "stream " + std::to_string(stream); }

void check_edges(StreamId stream, const Side& now, const Promise& promise) {
  State& all = state();
  Worker& worker = all.workers[index_of(stream)];
  if (promise.promised == nullptr || promise.promised == worker.last_checked) return;
  worker.last_checked = promise.promised;
  for (StreamId other = 0; other < kStreamsMax; ++other) {
    const uint64_t wanted = at(promise.promised, other), seen = worker.seen[index_of(other)];
    if (other == stream || wanted <= seen) continue;
    const bool by_host = all.host_promised[index_of(other)] >= wanted;
    Broken broken;
    broken.promise = by_host ? "synchronize" : "wait";
    broken.later = now;
    broken.earlier.stream = other;
    broken.earlier.ticket = wanted;
    broken.promised = by_host ? "the host had waited for " + text_of(other) + " before it submitted this"
                              : text_of(stream) + " waits for an event of " + text_of(other);
    broken.promised += ", up to its work " + std::to_string(wanted);
    broken.kept = text_of(stream) + (seen == 0 ? " has never waited for " + text_of(other)
                                               : " has waited for it up to its work " + std::to_string(seen));
    report(std::move(broken));
    worker.seen[index_of(other)] = wanted;  // Reported once.
  }
}

void fold_host_promises(Lane& lane) {
  State& all = state();
  if (lane.host_version == all.host_version) return;
  lane.host_version = all.host_version;
  lane.promised = joined(lane.promised, all.host_promised);
}

std::string line_of(const Broken& one) {
  auto where = [](const Side& side) {
    std::string text = side.stream < 0 ? "the host" : text_of(side.stream);
    if (side.step.thread >= 0) {
      text += ", thread " + std::to_string(side.step.thread) + ", iteration " + std::to_string(side.step.iteration);
    }
    return text;
  };
  auto name = [](const Side& side) { return std::string(side.name != nullptr ? side.name : "work"); };
  const std::string fields[] = {one.promise,        one.hazard, name(one.later), where(one.later), name(one.earlier),
                                where(one.earlier), one.memory, one.promised,    one.kept,         std::to_string(one.count)};
  std::string line;
  for (const std::string& field : fields) line += (line.empty() ? "" : "\t") + field;
  return line;
}

}  // namespace

State& state() {
  static State* const one = new State;  // Streams' threads use it until the process has ended.
  return *one;
}

#ifdef MPS_SIM_ORDER_OFF
bool is_on() { return false; }
#else
bool is_on() { return on.load(std::memory_order_relaxed); }
#endif

void switch_on(bool wanted) { on.store(wanted); }

void report(Broken broken) {
  State& all = state();
  name_side(broken.earlier);
  name_side(broken.later);
  for (Broken& one : all.broken) {
    const bool is_same = one.promise == broken.promise && one.hazard == broken.hazard &&
                         one.later.name == broken.later.name && one.earlier.name == broken.earlier.name;
    if (!is_same) continue;
    ++one.count;
    return;
  }
  if (all.broken.size() < kBrokenMax) all.broken.push_back(std::move(broken));
}

bool worker_has_seen(StreamId worker, StreamId stream, uint64_t ticket) {
  return state().workers[index_of(worker)].seen[index_of(stream)] >= ticket;
}

PromiseRef promise_for(StreamId id, Step step) {
  if (!is_on()) return nullptr;
  State& all = state();
  Guard guard(all.mutex);
  Lane& lane = all.lanes[index_of(id)];
  fold_host_promises(lane);
  const Known& seen = host_seen();
  const auto& last = lane.last;
  if (last != nullptr && last->promised == lane.promised && last->implied == lane.implied && last->seen_by_host == seen &&
      last->host_epoch == all.host_epoch && last->step.thread == step.thread && last->step.iteration == step.iteration) {
    return last;
  }
  lane.last = std::make_shared<const Promise>(Promise{id, step, lane.promised, lane.implied, seen, all.host_epoch});
  return lane.last;
}

void submitted_elsewhere(StreamId id, StreamId stream, uint64_t position) {
  if (!is_on()) return;
  Guard guard(state().mutex);
  Lane& lane = state().lanes[index_of(id)];
  Positions there{};
  there[index_of(stream)] = position;
  lane.implied = joined(lane.implied, there);
}

namespace {
thread_local Side running;
thread_local const PromiseRef* running_promise = nullptr;
}  // namespace

RunningWork::RunningWork(StreamId stream, uint64_t ticket, const char* name, const PromiseRef& promise) {
  if (!is_on() || promise == nullptr) return;
  running = {name, stream, ticket, promise->step};
  running_promise = &promise;
  State& all = state();
  Guard guard(all.mutex);
  Worker& worker = all.workers[index_of(stream)];
  worker.names[ticket % kNamesKept] = {ticket, name, promise->step};
  if (!all.broken.empty()) name_the_unnamed(stream, ticket);
  if (promise->seen_by_host != worker.last_host) {
    worker.last_host = promise->seen_by_host;
    if (join(worker.seen, *promise->seen_by_host)) remember(worker, ticket);
  }
  check_edges(stream, running, *promise);
}

RunningWork::~RunningWork() { running_promise = nullptr; }

StreamId running_stream() { return running_promise != nullptr ? running.stream : -1; }
const Side* running_side() { return running_promise != nullptr ? &running : nullptr; }
const PromiseRef& running_work_promise() { return *running_promise; }

void stream_waited(StreamId stream, uint64_t ticket, const char* name, StreamId awaited, uint64_t position) {
  if (!is_on()) return;
  Guard guard(state().mutex);
  Worker& worker = state().workers[index_of(stream)];
  worker.names[ticket % kNamesKept] = {ticket, name, {}};
  join_knowledge(worker.seen, awaited, position);
  remember(worker, ticket);
}

void host_saw(StreamId stream, uint64_t position) {
  auto& so_far = host_seen_so_far[index_of(stream)];
  if (!is_on() || so_far.load(std::memory_order_acquire) >= position) return;
  State& all = state();
  Guard guard(all.mutex);
  join_knowledge(all.host_seen, stream, position);
  all.host_seen_shared = nullptr;
  so_far.store(all.host_seen[index_of(stream)], std::memory_order_release);
}

void ask_stream(Asked& asked, StreamId id, uint64_t position) {
  if (!is_on()) return;
  State& all = state();
  Guard guard(all.mutex);
  Lane& lane = all.lanes[index_of(id)];
  fold_host_promises(lane);
  asked.is_anything = true;
  for (const Known& known : {lane.promised, lane.implied}) {
    if (known != nullptr) join(asked.positions, *known);
  }
  asked.positions[index_of(id)] = std::max(asked.positions[index_of(id)], position);
}

Asked ask_event(uint32_t handle) {
  Asked asked;
  if (!is_on()) return asked;
  Guard guard(state().mutex);
  const auto found = state().events.find(handle);
  if (found == state().events.end() || found->second.recordings > 0 || found->second.known == nullptr) return asked;
  asked.positions = *found->second.known;
  asked.event = handle;
  asked.version = found->second.version;
  asked.is_anything = true;
  return asked;
}

void returned(const Asked& asked, const char* call) {
  if (!asked.is_anything || !is_on()) return;
  State& all = state();
  Guard guard(all.mutex);
  if (asked.event != 0 && all.events[asked.event].version != asked.version) return;  // Recorded again meanwhile.
  for (StreamId stream = 0; stream < kStreamsMax; ++stream) {
    const uint64_t wanted = asked.positions[index_of(stream)], seen = all.host_seen[index_of(stream)];
    if (wanted <= seen) continue;
    Broken broken;
    broken.promise = "synchronize";
    broken.later.name = call;
    broken.earlier.stream = stream;
    broken.earlier.ticket = wanted;
    broken.promised = std::string(call) + " waits for " + text_of(stream) + ", up to its work " + std::to_string(wanted);
    broken.kept = "it returned when " + (seen == 0 ? "nothing of that stream" : "its work up to " + std::to_string(seen)) +
                  " had been waited for";
    report(std::move(broken));
  }
  if (join(all.host_seen, asked.positions)) all.host_seen_shared = nullptr;  // Reported once.
  if (join(all.host_promised, asked.positions)) ++all.host_version;
}

void event_acquired(uint32_t handle) {
  if (!is_on()) return;
  Guard guard(state().mutex);
  Event& event = state().events[handle];
  if (event.is_live) {
    Broken broken;
    broken.promise = "owner";
    broken.later.name = "event_acquire";
    broken.earlier.name = "event_acquire";
    broken.memory = "event " + std::to_string(handle);
    broken.promised = "an event has one owner";
    broken.kept = "it was given out again before its owner had released it";
    report(std::move(broken));
  }
  event.is_live = true;
  event.known = nullptr;
  ++event.version;
}

void event_released(uint32_t handle) {
  if (!is_on()) return;
  Guard guard(state().mutex);
  Event& event = state().events[handle];
  event.is_live = false;
  event.known = nullptr;
  ++event.version;
}

Recording::Recording(uint32_t handle, StreamId id, uint64_t position) : event_(handle) {
  if (!is_on()) return;
  State& all = state();
  Guard guard(all.mutex);
  Event& event = all.events[handle];
  event.is_ambiguous = event.recordings++ > 0;
  Lane& lane = all.lanes[index_of(id)];
  fold_host_promises(lane);
  Positions own{};
  own[index_of(id)] = position;
  if (lane.implied != nullptr) join(own, *lane.implied);
  known_ = joined(lane.promised, own);
}

// Two recordings at a time leave either, so that neither is promised.
Recording::~Recording() {
  if (!is_on()) return;
  Guard guard(state().mutex);
  Event& event = state().events[event_];
  if (event.recordings > 0 && --event.recordings > 0) event.is_ambiguous = true;
  event.known = event.is_ambiguous ? nullptr : known_;
  ++event.version;
}

Waiting::Waiting(uint32_t handle, StreamId lane) : event_(handle), lane_(lane) {
  if (!is_on()) return;
  Guard guard(state().mutex);
  const auto found = state().events.find(handle);
  if (found == state().events.end() || found->second.recordings > 0) return;
  known_ = found->second.known;
  version_ = found->second.version;
}

// An event that was recorded again meanwhile stands for either: then nothing was promised.
Waiting::~Waiting() {
  if (!is_on() || known_ == nullptr) return;
  Guard guard(state().mutex);
  const Event& event = state().events[event_];
  if (event.version != version_ || event.recordings > 0) return;
  Lane& lane = state().lanes[index_of(lane_)];
  lane.promised = joined(lane.promised, *known_);
}

void graph_destroyed(const Positions& used) {
  if (!is_on()) return;
  State& all = state();
  Guard guard(all.mutex);
  for (StreamId stream = 0; stream < kStreamsMax; ++stream) {
    const uint64_t wanted = used[index_of(stream)];
    if (wanted <= all.host_seen[index_of(stream)]) continue;
    Broken broken;
    broken.promise = "graph";
    broken.later.name = "destroy_graph";
    broken.earlier.stream = stream;
    broken.earlier.ticket = wanted;
    broken.promised = "a compiled graph lives until all work that runs it is done";
    broken.kept = "it was destroyed, and nobody had waited for " + text_of(stream) + " up to its work " + std::to_string(wanted);
    // At once: the process may die of it before anybody asks.
    std::fprintf(stderr, "simulated device: promised order not kept: %s\n", broken.kept.c_str());
    report(std::move(broken));
    return;
  }
}

std::vector<std::string> take_broken() {
  std::vector<std::string> lines;
  Guard guard(state().mutex);
  for (Broken& one : state().broken) {
    name_side(one.earlier);
    lines.push_back(line_of(one));
  }
  state().broken.clear();
  return lines;
}

}  // namespace mps_sim::order
