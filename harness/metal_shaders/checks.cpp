#include "checks.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "compiler.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define METAL_SHADERS_TSAN 1
extern "C" {
void __tsan_read1_pc(void* memory, void* site);
void __tsan_read2_pc(void* memory, void* site);
void __tsan_read4_pc(void* memory, void* site);
void __tsan_read8_pc(void* memory, void* site);
void __tsan_read16_pc(void* memory, void* site);
void __tsan_write1_pc(void* memory, void* site);
void __tsan_write2_pc(void* memory, void* site);
void __tsan_write4_pc(void* memory, void* site);
void __tsan_write8_pc(void* memory, void* site);
void __tsan_write16_pc(void* memory, void* site);
}
#endif
#endif

namespace metal_shaders {

using metal_abi::Thread;

namespace {

constexpr int kThreadgroupMemory = -2;
constexpr size_t kNear = 1 << 20;  // An address that far from a buffer is named after it.

bool has(const Range& range, const char* memory, size_t bytes) {
  size_t at = static_cast<size_t>(memory - range.begin);
  return at < range.bytes && bytes <= range.bytes - at;
}

std::string name_of(const Range& range) {
  if (range.index == kThreadgroupMemory) return "threadgroup memory";
  if (range.index == kResource) return "a resident buffer";
  return "buffer " + std::to_string(range.index);
}

std::string three(const unsigned (&value)[3]) {
  return "(" + std::to_string(value[0]) + ", " + std::to_string(value[1]) + ", " + std::to_string(value[2]) + ")";
}

// A kernel is not instrumented; what it does is told to ThreadSanitizer here, with the kernel's own place: so the GPU's accesses
// are seen beside the host's.
void tell_thread_sanitizer(const void* memory, size_t bytes, bool is_write, const void* site) {
#ifdef METAL_SHADERS_TSAN
  auto* at = static_cast<char*>(const_cast<void*>(memory));
  auto* from = const_cast<void*>(site);
  while (bytes > 0) {
    size_t part = reinterpret_cast<uintptr_t>(at) % 8 == 0 && bytes >= 8 ? 8 : reinterpret_cast<uintptr_t>(at) % 4 == 0 && bytes >= 4 ? 4 : 1;
    if (part == 8) is_write ? __tsan_write8_pc(at, from) : __tsan_read8_pc(at, from);
    else if (part == 4) is_write ? __tsan_write4_pc(at, from) : __tsan_read4_pc(at, from);
    else is_write ? __tsan_write1_pc(at, from) : __tsan_read1_pc(at, from);
    at += part;
    bytes -= part;
  }
#endif
}

}  // namespace

void Checks::begin(const Dispatch& dispatch, const Stacks& stacks) {
  dispatch_ = &dispatch;
  stacks_ = &stacks;
  ranges_.clear();
  for (const Buffer& buffer : dispatch.buffers) {
    if (buffer.data != nullptr) ranges_.push_back(buffer.range);
  }
  ranges_.insert(ranges_.end(), dispatch.resources.begin(), dispatch.resources.end());
  for (Range& range : recent_) range = {};
  if (dispatch.finds_races) races_.begin();
}

void Checks::add_memory(const char* begin, size_t bytes) { ranges_.push_back({begin, bytes, kThreadgroupMemory}); }

void Checks::begin_group() {
  if (dispatch_->finds_races) races_.begin_group();
}

void Checks::barrier(unsigned flags) {
  if (dispatch_->finds_races) races_.barrier(flags);
}

// The memory that these bytes are of; null where they are in none.
const Range* Checks::find(const char* memory, size_t bytes, const void* site) {
  Range& recent = recent_[reinterpret_cast<uintptr_t>(site) / 4 % kRecent];
  if (has(recent, memory, bytes)) return &recent;
  for (const Range& range : ranges_) {
    if (has(range, memory, bytes)) {
      recent = range;
      return &recent;
    }
  }
  return nullptr;
}

void Checks::must_not_race(Thread& thread, const Range& range, const char* memory, size_t bytes, bool is_write, bool is_atomic,
                           const void* site) {
  bool is_of_group = range.index == kThreadgroupMemory;
  const Races::Access* other = races_.note(thread, memory, bytes, is_write, is_atomic, is_of_group, site);
  if (other == nullptr) return;
  const unsigned* groups = thread.launch->groups;
  unsigned group[3] = {other->group % groups[0], other->group / groups[0] % groups[1], other->group / groups[0] / groups[1]};
  bool is_other_group = !std::equal(group, group + 3, thread.launch->group);
  std::string line = source_line(other->site);
  std::string what = std::string(is_write ? "writes" : "reads") + (is_atomic ? " atomically" : "") + place(memory) + ", in a race with thread " +
                     std::to_string(other->thread) + " of " + (is_other_group ? "threadgroup " + three(group) : "the same threadgroup") +
                     (line.empty() ? "" : " in " + line);
  fail(thread, what.c_str(), site);
}

void Checks::access(Thread& thread, const void* memory, size_t bytes, bool is_write, const void* site) {
  auto* at = static_cast<const char*>(memory);
  if (const Range* range = find(at, bytes, site)) {
    if (dispatch_->finds_races) must_not_race(thread, *range, at, bytes, is_write, false, site);
    tell_thread_sanitizer(memory, bytes, is_write, site);
    return;
  }
  if (stacks_->has(memory, bytes)) return;  // Its own variables.
  if (!is_write && at >= dispatch_->library->begin && at + bytes <= dispatch_->library->end) return;  // Constants.
  std::string what = std::string(is_write ? "writes " : "reads ") + std::to_string(bytes) + (bytes == 1 ? " byte" : " bytes") + place(at);
  fail(thread, what.c_str(), site);
}

void Checks::atomic(Thread& thread, const void* memory, size_t bytes, bool is_write, const void* site) {
  auto* at = static_cast<const char*>(memory);
  if (const Range* range = find(at, bytes, site)) {
    if (dispatch_->finds_races) must_not_race(thread, *range, at, bytes, is_write, true, site);
    return;
  }
  std::string what = std::string(is_write ? "changes " : "reads ") + std::to_string(bytes) + " bytes atomically" + place(at);
  fail(thread, what.c_str(), site);
}

// Where an address lies that is in no buffer: behind or before the nearest.
std::string Checks::place(const char* memory) const {
  const Range* nearest = nullptr;
  size_t least = kNear;
  for (const Range& range : ranges_) {
    size_t distance = memory >= range.begin ? static_cast<size_t>(memory - range.begin) : static_cast<size_t>(range.begin - memory);
    if (memory >= range.begin) distance = distance < range.bytes ? 0 : distance - range.bytes;
    if (distance < least) {
      least = distance;
      nearest = &range;
    }
  }
  if (memory < reinterpret_cast<const char*>(4096)) return " at address " + std::to_string(reinterpret_cast<uintptr_t>(memory)) + ": a buffer that is not bound";
  if (nearest == nullptr) return ", in no buffer that is bound or resident";
  std::string size = " of " + name_of(*nearest) + ", which has " + std::to_string(nearest->bytes) + " bytes";
  if (memory < nearest->begin) return ", " + std::to_string(nearest->begin - memory) + " bytes before the begin" + size;
  return " at offset " + std::to_string(memory - nearest->begin) + size;
}

void Checks::fail(Thread& thread, const char* what, const void* site) {
  std::string line = source_line(site);
  std::string text = std::string("mps-stress: Metal kernel ") + dispatch_->entry->name + ": thread " + three(thread.local) + " of threadgroup " +
                     three(thread.launch->group) + " " + what + (line.empty() ? "" : ", in " + line) + "\n";
  if (write(STDERR_FILENO, text.data(), text.size()) < 0) abort();
  abort();
}

}  // namespace metal_shaders
