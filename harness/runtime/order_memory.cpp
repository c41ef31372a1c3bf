// Which work touched which bytes, of whom. Of memory that changes hands, the new owner's work has to come after what the old
// owner's streams still do with it: those that the allocator knows of, by where it was allocated and by record_stream. What
// else the old owner's work does is the program's affair.
#include <algorithm>

#include "order.h"
#include "order_state.h"

namespace mps_sim::order {

const Side* running_side();
const PromiseRef& running_work_promise();

namespace {

constexpr size_t kUsesMax = 48;

struct Use {
  uintptr_t begin, end;
  bool is_write;
  Side side;              // Of the host: `ticket` counts its touches.
  OwnerRef owner;
  PromiseRef promise;
};

struct Region {
  uintptr_t begin, end;
  std::vector<Use> uses;
};

}  // namespace

struct Owner {
  enum Kind { program, device, borrowed } kind = program;
  uint64_t serial = 0;
  uintptr_t begin = 0, end = 0;
  StreamId lane = 0;
  uint64_t position = 0;   // Of the lane, when it was allocated.
  uint64_t recorded = 0;   // Lanes, as bits.
  Region* region = nullptr;
  std::weak_ptr<void> holder;
};

namespace {

struct Memory {
  std::map<uintptr_t, OwnerRef> owners;       // That live, by where they begin.
  std::map<uintptr_t, Region*> regions;       // Never deleted: work that was submitted long ago may still come.
  std::unordered_map<const void*, OwnerRef> own;
  uint64_t serial = 0;
};

Memory& memory() {
  static Memory* const one = new Memory;
  return *one;
}

uintptr_t address(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); }

// The entries that overlap with the range.
template <typename Map, typename EndOf>
std::vector<typename Map::iterator> overlapping(Map& map, uintptr_t begin, uintptr_t end, EndOf end_of) {
  std::vector<typename Map::iterator> found;
  auto entry = map.lower_bound(begin);
  while (entry != map.begin() && end_of(std::prev(entry)) > begin) --entry;
  for (; entry != map.end() && entry->first < end; ++entry) {
    if (end_of(entry) > begin) found.push_back(entry);
  }
  return found;
}

Region* region_of(uintptr_t begin, uintptr_t end) {
  Memory& all = memory();
  auto exact = all.regions.find(begin);
  if (exact != all.regions.end() && exact->second->end == end) return exact->second;
  auto* region = new Region{begin, end, {}};
  for (auto entry : overlapping(all.regions, begin, end, [](auto one) { return one->second->end; })) {
    for (const Use& use : entry->second->uses) {
      if (use.begin < end && begin < use.end) region->uses.push_back(use);
    }
    entry->second->uses.clear();
    all.regions.erase(entry);
  }
  all.regions[begin] = region;
  return region;
}

const char* hazard_of(const Use& later, const Use& earlier) {
  if (!later.is_write) return "RAW";
  return earlier.is_write ? "WAW" : "WAR";
}

Broken broken_between(const char* promise, const Use& later, const Use& earlier) {
  Broken broken;
  broken.promise = promise;
  broken.hazard = hazard_of(later, earlier);
  broken.later = later.side;
  broken.earlier = earlier.side;
  const uintptr_t begin = std::max(later.begin, earlier.begin), end = std::min(later.end, earlier.end);
  const uintptr_t base = later.owner->begin;
  broken.memory = "bytes " + std::to_string(begin - std::min(base, begin)) + "-" + std::to_string(end - 1 - std::min(base, begin)) +
                  (later.owner->kind == Owner::device ? " of a buffer of the device's own"
                                                      : " of " + std::to_string(later.owner->end - base) + " allocated bytes");
  return broken;
}

std::string stream_text(const Use& use) { return "stream " + std::to_string(use.side.stream); }

std::string never_ordered(const Use& now, const Use& then, bool ran_first) {
  if (ran_first) return "the later one had run already when the earlier one came";
  return (now.side.stream < 0 ? "the host" : stream_text(now)) + " has not waited for work " +
         std::to_string(then.side.ticket) + " of " + stream_text(then);
}

bool is_kept(const Use& now, const Use& then) {
  return worker_has_seen(now.side.stream, then.side.stream, then.side.ticket);
}

// The same, where one of the two may be the host's.
bool comes_after(const Use& now, const Use& then) {
  if (then.side.stream == now.side.stream) return true;
  if (then.side.stream < 0) return then.side.ticket <= now.promise->host_epoch;  // Before it was submitted.
  if (now.side.stream < 0) return state().host_seen[static_cast<size_t>(then.side.stream)] >= then.side.ticket;
  return is_kept(now, then);
}

bool has(const Use& later, const Use& earlier) {
  return std::max(at(later.promise->promised, earlier.side.stream), at(later.promise->implied, earlier.side.stream)) >=
         earlier.side.ticket;
}

// Whether the allocator promised the new owner's work to come after this work of the old one.
bool is_handed_over(const Use& later, const Use& earlier) {
  const Owner& before = *earlier.owner;
  const Owner& after = *later.owner;
  const StreamId lane = earlier.promise->lane;
  const bool allocator_knows = lane == before.lane || ((before.recorded >> lane) & 1) != 0;
  return allocator_knows &&
         (later.promise->lane == after.lane || at(later.promise->promised, after.lane) >= after.position);
}

void check_handed_over(const Use& now, const Use& then) {
  const bool ran_first = now.owner->serial < then.owner->serial;  // The new owner's work did.
  const Use& later = ran_first ? then : now;
  const Use& earlier = ran_first ? now : then;
  if (!is_handed_over(later, earlier) || (!ran_first && is_kept(now, then))) return;
  Broken broken = broken_between("reuse", later, earlier);
  const bool by_record = earlier.promise->lane != earlier.owner->lane;
  broken.promised = by_record ? "record_stream: memory is not given out again before " + stream_text(earlier) + " is done with it"
                              : "memory is given out again to work that comes after its last owner's";
  broken.kept = never_ordered(now, then, ran_first);
  report(std::move(broken));
}

void check_one_owner(const Use& now, const Use& then) {
  const bool ran_first = has(then, now);
  if (!ran_first && (!has(now, then) || is_kept(now, then))) return;
  const Use& later = ran_first ? then : now;
  const Use& earlier = ran_first ? now : then;
  const bool by_lane = at(later.promise->promised, earlier.side.stream) < earlier.side.ticket;
  Broken broken = broken_between(by_lane ? "stream" : "wait", later, earlier);
  broken.promised = by_lane ? "what a thread submits to one stream runs in that order"
                            : "an event or a synchronisation puts the one after the other";
  broken.kept = never_ordered(now, then, ran_first);
  report(std::move(broken));
}

// Nobody outside knows the device's own buffers, so that every reader of one has to be ordered with those who write it. Two
// writes alone are left out: what nobody reads between them changes nothing.
void check_own_buffer(const Use& now, const Use& then) {
  if (now.is_write == then.is_write || comes_after(now, then)) return;
  Broken broken = broken_between("scratch", now, then);
  broken.promised = "a buffer of the device's own is used by one piece of work at a time";
  broken.kept = then.side.stream < 0 ? "the host filled it again after this work was submitted" : never_ordered(now, then, false);
  report(std::move(broken));
}

// A write stands for what it covers, and in the device's own buffers only for what it comes after: that a write of another
// stream ran just before this one's does not keep it from running between this one and the read that follows.
void add(std::vector<Use>& uses, Use now) {
  auto is_replaced = [&](const Use& one) {
    if (one.begin < now.begin || now.end < one.end) return false;
    if (!now.is_write) return !one.is_write && one.side.stream == now.side.stream;
    return now.owner->kind != Owner::device || comes_after(now, one);
  };
  uses.erase(std::remove_if(uses.begin(), uses.end(), is_replaced), uses.end());
  if (uses.size() >= kUsesMax) uses.erase(uses.begin());
  uses.push_back(std::move(now));
}

void check_borrowed(const Owner& owner, const Side& now) {
  if (!owner.holder.expired()) return;
  Broken broken;
  broken.promise = "source";
  broken.later = now;
  broken.earlier.name = "free";
  broken.memory = "memory of the host";
  broken.promised = "a copy that does not block keeps its source alive until it has run";
  broken.kept = "nothing keeps it";
  report(std::move(broken));
}

}  // namespace

void allocated(const void* base, size_t bytes, StreamId lane, uint64_t position) {
  if (!is_on() || base == nullptr || bytes == 0) return;
  Guard guard(state().mutex);
  Memory& all = memory();
  auto owner = std::make_shared<Owner>();
  owner->serial = ++all.serial;
  owner->begin = address(base);
  owner->end = owner->begin + bytes;
  owner->lane = lane;
  owner->position = position;
  for (auto entry : overlapping(all.owners, owner->begin, owner->end, [](auto one) { return one->second->end; })) {
    Broken broken;
    broken.promise = "owner";
    broken.later.name = broken.earlier.name = "allocate";
    broken.memory = std::to_string(bytes) + " allocated bytes";
    broken.promised = "memory has one owner at a time";
    broken.kept = "it was given out again before its owner had freed it";
    report(std::move(broken));
    all.owners.erase(entry);
  }
  owner->region = region_of(owner->begin, owner->end);
  all.owners[owner->begin] = std::move(owner);
}

void freed(const void* base) {
  if (!is_on() || base == nullptr) return;
  Guard guard(state().mutex);
  memory().owners.erase(address(base));
}

void recorded(const void* base, StreamId lane) {
  if (!is_on()) return;
  Guard guard(state().mutex);
  auto found = memory().owners.find(address(base));
  if (found != memory().owners.end()) found->second->recorded |= uint64_t{1} << lane;
}

OwnerRef owner_of(const void* base) {
  if (!is_on()) return nullptr;
  Guard guard(state().mutex);
  auto found = memory().owners.find(address(base));
  return found != memory().owners.end() ? found->second : nullptr;
}

OwnerRef device_memory(const void* base) {
  if (!is_on() || base == nullptr) return nullptr;
  Guard guard(state().mutex);
  OwnerRef& owner = memory().own[base];
  if (owner == nullptr) {
    owner = std::make_shared<Owner>();
    owner->kind = Owner::device;
    owner->begin = owner->end = address(base);
    owner->region = new Region{owner->begin, owner->end, {}};
  }
  return owner;
}

OwnerRef borrowed(std::weak_ptr<void> holder) {
  if (!is_on()) return nullptr;
  auto owner = std::make_shared<Owner>();
  owner->kind = Owner::borrowed;
  owner->holder = std::move(holder);
  return owner;
}

void touch(const OwnerRef& owner, const void* begin, size_t bytes, bool is_write) {
  if (owner == nullptr || bytes == 0 || !is_on()) return;
  State& all = state();
  const Side* running = running_side();
  Guard guard(all.mutex);
  if (owner->kind == Owner::borrowed) {
    if (running != nullptr) check_borrowed(*owner, *running);
    return;
  }
  Use now{address(begin), address(begin) + bytes, is_write, {}, owner, nullptr};
  if (running != nullptr) {
    now.side = *running;
    now.promise = running_work_promise();
  } else if (owner->kind == Owner::device) {
    now.side = {"submit", -1, ++all.host_epoch, {}};
  } else {
    return;
  }
  std::vector<Use>& uses = owner->region->uses;
  for (const Use& then : uses) {
    if (then.end <= now.begin || now.end <= then.begin || (then.side.stream == now.side.stream)) continue;
    if (!then.is_write && !is_write) continue;
    if (owner->kind == Owner::device) {
      check_own_buffer(now, then);
    } else if (then.owner == owner) {
      check_one_owner(now, then);
    } else {
      check_handed_over(now, then);
    }
  }
  add(uses, std::move(now));
}

}  // namespace mps_sim::order
