#include "races.h"

#include <algorithm>

namespace metal_shaders {

namespace {

constexpr unsigned kDevice = 1, kThreadgroup = 2;  // mem_flags.
constexpr size_t kPagesMax = 1 << 14;              // 64 MB of a kernel's memory; then what was remembered is let go of.

bool same_lanes(const Races::Access& one, const Races::Access& other) {
  return one.group == other.group && one.thread / metal_abi::kSimdWidth == other.thread / metal_abi::kSimdWidth;
}

}  // namespace

void Races::begin() {
  dispatch_age_ = ++age_;
  if (pages_.size() > kPagesMax) {
    pages_.clear();
    last_number_ = ~uintptr_t{0};
  }
}

void Races::begin_group() {
  group_age_ = ++age_;
  barriers_ = device_fences_ = group_fences_ = 0;
}

void Races::barrier(unsigned flags) {
  ++barriers_;
  if (flags & kDevice) ++device_fences_;
  if (flags & kThreadgroup) ++group_fences_;
}

Races::Word& Races::word(uintptr_t address) {
  uintptr_t number = address / kPageBytes;
  if (number != last_number_) {
    auto& page = pages_[number];
    if (!page) page = std::make_unique<Page>();
    last_number_ = number;
    last_ = page.get();
  }
  return last_->words[address % kPageBytes / 4];
}

bool Races::race(const Access& before, const Access& now, bool was_write) {
  if (before.site == nullptr || (before.bytes & now.bytes) == 0 || (before.is_atomic && now.is_atomic)) return false;
  if (before.group != now.group) return true;
  if (same_lanes(before, now)) return false;
  // What was written is seen after a barrier for this memory; what was read has been read after any.
  return was_write ? before.fences == now.fences : before.barriers == now.barriers;
}

const Races::Access* Races::note(const metal_abi::Thread& thread, const void* memory, size_t bytes, bool is_write, bool is_atomic,
                                 bool is_of_group, const void* site) {
  const metal_abi::Launch& launch = *thread.launch;
  Access now;
  now.site = site;
  now.group = launch.group[0] + launch.groups[0] * (launch.group[1] + launch.groups[1] * launch.group[2]);
  now.thread = static_cast<uint16_t>(thread.index);
  now.is_atomic = is_atomic;
  now.barriers = barriers_;
  now.fences = is_of_group ? group_fences_ : device_fences_;
  uint64_t age = is_of_group ? group_age_ : dispatch_age_;
  auto begin = reinterpret_cast<uintptr_t>(memory), end = begin + bytes;
  for (uintptr_t at = begin / 4 * 4; at < end; at += 4) {
    now.bytes = 0;
    for (uintptr_t byte = std::max(at, begin); byte < std::min(at + 4, end); ++byte) now.bytes |= static_cast<uint8_t>(1u << (byte - at));
    Word& one = word(at);
    if (one.age != age) one = {age, {}, {}};
    if (!is_write || is_atomic) {
      if (race(one.write, now, true)) return &one.write;
    }
    if (is_write) {
      for (const Access& read : one.reads) {
        if (race(read, now, false)) return &read;
      }
      one.write = now;
    } else {
      if (!same_lanes(one.reads[0], now)) one.reads[1] = one.reads[0];
      one.reads[0] = now;
    }
  }
  return nullptr;
}

}  // namespace metal_shaders
