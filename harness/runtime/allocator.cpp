// Models how the MPS allocator reuses memory: a freed block goes back to its own stream's list at once, since the stream
// runs in order; a block that other streams used waits until they have passed the place where it was freed. What a fault
// has touched (`is_kept`, `is_part`) is never given back to the host: the fault gives wrong values, and no crash of
// malloc.
#include "allocator.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "counters.h"
#include "device.h"
#include "graph_cache.h"
#include "locks.h"
#include "order.h"
#include "pool.h"
#include "stream.h"

namespace mps_sim {

namespace {

constexpr size_t kSmallest = 64;
constexpr size_t kLargestPowerOfTwo = size_t{1} << 20;
constexpr size_t kAlignment = 64;

size_t size_class(size_t bytes) {
  if (bytes > kLargestPowerOfTwo) return (bytes + kLargestPowerOfTwo - 1) / kLargestPowerOfTwo * kLargestPowerOfTwo;
  size_t size = kSmallest;
  while (size < bytes) size *= 2;
  return size;
}

struct Use {
  StreamId stream;
  uint64_t ticket;  // 0: to be taken when the block is freed, which covers every use until then.
};

// Never destroyed, so that a thread on an unsafe path reads stale words and not unmapped memory.
struct Block {
  void* pointer;
  size_t size;
  StreamId stream;
  bool is_in_use = false;
  bool is_part = false;       // Of another block, by a fault: its memory is not its own to give back.
  bool is_kept = false;       // By a fault others may still use its memory: never given back, so that values are wrong.
  Block* next_free = nullptr;
  std::vector<Use> uses{};    // By other streams.
};

// Marks the calling thread as one that holds the allocator's lock while it enters a queue: the fault's unsafe path.
struct HoldsLock {
  HoldsLock() { is_held = true; }
  ~HoldsLock() { is_held = false; }
  static thread_local bool is_held;
};
thread_local bool HoldsLock::is_held = false;

class Allocator {
 public:
  void* allocate(size_t bytes, StreamId stream) {
    if (bytes == 0) return nullptr;
    counters().allocations.fetch_add(1, std::memory_order_relaxed);
    size_t size = size_class(bytes);
    Block* block = nullptr;
    if (strikes(Fault::allocator_free_list)) block = take_unlocked(size, stream);
    if (block == nullptr) {
      std::lock_guard<Lock> guard(lock_);
      reclaim_pending();
      if (strikes(Fault::allocator_reuse_before_completion)) block = take_from_any_stream(size, stream);
      if (block == nullptr) block = take(size, stream);
      if (block != nullptr) block->is_in_use = true;
    }
    if (block == nullptr) block = make(bytes, size, stream);
    add_allocated(static_cast<int64_t>(size));
    return block->pointer;
  }

  void deallocate(void* pointer) {
    std::vector<Use> uses;
    Block* block = nullptr;
    {
      std::lock_guard<Lock> guard(lock_);
      auto found = blocks_.find(pointer);
      if (found == blocks_.end() || !found->second->is_in_use) return;
      block = found->second;
      uses = std::exchange(block->uses, {});
      if (!uses.empty() && strikes(Fault::lock_order_inversion)) {
        HoldsLock holds;
        settle(uses);
      }
      if (uses.empty()) file(block);
    }
    add_allocated(-static_cast<int64_t>(block->size));
    if (uses.empty()) return;
    settle(uses);  // Enters other streams' queues: never with the lock, which a queue's owner may want.
    std::lock_guard<Lock> guard(lock_);
    pending_.push_back({block, std::move(uses)});
  }

  void record_stream(void* pointer, StreamId stream) {
    if (strikes(Fault::record_stream_missing)) return;
    std::unique_lock<Lock> guard(lock_);
    auto found = blocks_.find(pointer);
    if (found == blocks_.end() || !found->second->is_in_use || found->second->stream == stream) return;
    Block* block = found->second;
    if (strikes(Fault::lock_order_inversion)) {
      HoldsLock holds;
      mps_sim::stream(stream).flush();
    }
    auto has_stream = [&](const Use& use) { return use.stream == stream; };
    if (std::any_of(block->uses.begin(), block->uses.end(), has_stream)) return;
    block->uses.push_back({stream, 0});
    if (!strikes(Fault::record_stream_first_only)) return;
    guard.unlock();
    uint64_t ticket = std::max<uint64_t>(mps_sim::stream(stream).flush(), 1);
    guard.lock();
    for (Use& use : block->uses) {
      if (use.stream == stream) use.ticket = ticket;
    }
  }

  bool owns(const void* pointer) {
    std::lock_guard<Lock> guard(lock_);
    auto address = reinterpret_cast<uintptr_t>(pointer);
    return std::any_of(blocks_.begin(), blocks_.end(), [&](const auto& entry) {
      auto begin = reinterpret_cast<uintptr_t>(entry.second->pointer);
      return entry.second->is_in_use && begin <= address && address < begin + entry.second->size;
    });
  }

  void empty_cache() {
    std::unique_lock<Lock> guard(lock_);
    reclaim_pending();
    if (strikes(Fault::allocator_aba)) collect_by_address(guard);
    std::vector<Block*> idle;
    for (auto& [key, head] : free_) {
      Block** link = &head;
      while (*link != nullptr) {
        Block* block = *link;
        if (block->is_part || block->is_kept || is_split(block)) {
          link = &block->next_free;
        } else {
          *link = block->next_free;
          idle.push_back(block);
        }
      }
    }
    for (Block* block : idle) {
      blocks_.erase(block->pointer);
      reserved_ -= block->size;
    }
    guard.unlock();
    for (Block* block : idle) {  // Work that was queued before the tensor was freed may still write there.
      mps_sim::stream(block->stream).finish();
      free(block->pointer);
    }
  }

  void visit() {
    if (HoldsLock::is_held) return;  // A completion handler, which a Mac runs elsewhere, would not wait for itself.
    std::lock_guard<Lock> guard(lock_);
    reclaim_pending();
  }

  void set_limit(size_t bytes) {
    std::lock_guard<Lock> guard(lock_);
    limit_ = bytes;
  }

  Memory memory() {
    std::lock_guard<Lock> guard(lock_);
    auto allocated = static_cast<size_t>(std::max<int64_t>(allocated_, 0));
    return {allocated, reserved_, limit_, 0};
  }

 private:
  using ListKey = std::pair<StreamId, size_t>;

  Block* take(size_t size, StreamId stream) {
    Block*& head = free_[{stream, size}];
    Block* block = head;
    if (block != nullptr) head = block->next_free;
    return block;
  }

  Block* take_unlocked(size_t size, StreamId stream) {
    Block** head = nullptr;
    {
      std::lock_guard<Lock> guard(lock_);
      head = &free_[{stream, size}];  // A map's nodes stay where they are.
    }
    Block* block = *head;
    if (block == nullptr) return nullptr;
    window(Fault::allocator_free_list);
    *head = block->next_free;
    block->is_in_use = block->is_kept = true;
    return block;
  }

  Block* take_from_any_stream(size_t size, StreamId own) {
    for (auto& [key, head] : free_) {
      if (key.second != size || key.first == own || head == nullptr) continue;
      Block* block = head;
      head = block->next_free;
      block->is_kept = true;
      return block;
    }
    return nullptr;
  }

  Block* make(size_t bytes, size_t size, StreamId stream) {
    {
      std::lock_guard<Lock> guard(lock_);
      if (limit_ == 0 || reserved_ + size <= limit_) return make_locked(size, stream);
    }
    empty_cache();
    std::lock_guard<Lock> guard(lock_);
    if (reserved_ + size <= limit_) return make_locked(size, stream);
    throw OutOfMemory("MPS backend out of memory (simulated: " + std::to_string(allocated_) + " bytes allocated, " +
                      std::to_string(reserved_) + " reserved, limit " + std::to_string(limit_) +
                      "). Tried to allocate " + std::to_string(bytes) + " bytes");
  }

  Block* make_locked(size_t size, StreamId stream) {
    void* pointer = nullptr;
    if (posix_memalign(&pointer, kAlignment, size) != 0) {
      throw OutOfMemory("MPS backend out of memory (simulated: the host has no " + std::to_string(size) + " bytes)");
    }
    auto* block = new Block{pointer, size, stream};
    block->is_in_use = true;
    blocks_[pointer] = block;
    reserved_ += size;
    return block;
  }

  void file(Block* block) {
    block->is_in_use = false;
    put(block, block->stream);
    if (block->size >= 2 * kSmallest && block->size <= kLargestPowerOfTwo && !block->is_part && !is_split(block) &&
        strikes(Fault::allocator_size_class)) {
      auto* upper = new Block{static_cast<char*>(block->pointer) + block->size / 2, block->size / 2, block->stream};
      upper->is_part = true;
      blocks_[upper->pointer] = upper;
      put(upper, upper->stream);
    }
  }

  bool is_split(const Block* block) const {
    return is_armed(Fault::allocator_size_class) && blocks_.count(static_cast<char*>(block->pointer) + block->size / 2);
  }

  void put(Block* block, StreamId stream) {
    Block*& head = free_[{stream, block->size}];
    block->next_free = head;
    head = block;
  }

  void reclaim_pending() {
    for (size_t index = 0; index < pending_.size();) {
      auto& [block, uses] = pending_[index];
      bool is_done = std::all_of(uses.begin(), uses.end(), [](const Use& use) {
        return mps_sim::stream(use.stream).has_completed(use.ticket);
      });
      if (!is_done) {
        ++index;
        continue;
      }
      file(block);
      pending_[index] = std::move(pending_.back());
      pending_.pop_back();
    }
  }

  static void settle(std::vector<Use>& uses) {
    for (Use& use : uses) {
      if (use.ticket == 0) use.ticket = std::max<uint64_t>(mps_sim::stream(use.stream).flush(), 1);
    }
  }

  // The fault: waits for the streams without the lock, and afterwards trusts the address. By then a block may have an
  // owner again, and goes to another stream all the same.
  void collect_by_address(std::unique_lock<Lock>& guard) {
    std::vector<std::pair<void*, Block*>> picked;
    for (auto& [key, head] : free_) {
      for (Block* block = head; block != nullptr; block = block->next_free) picked.push_back({block->pointer, block});
    }
    guard.unlock();
    for (auto& [pointer, block] : picked) mps_sim::stream(block->stream).finish();
    window(Fault::allocator_aba);
    guard.lock();
    for (auto& [pointer, block] : picked) {
      auto found = blocks_.find(pointer);
      if (found == blocks_.end() || found->second != block || !block->is_in_use) continue;
      auto* alias = new Block{block->pointer, block->size, block->stream};
      alias->is_part = block->is_kept = true;
      put(alias, block->stream);
    }
  }

  void add_allocated(int64_t bytes) {
    if (strikes(Fault::allocator_statistics_unlocked)) {
      int64_t before = allocated_;
      window(Fault::allocator_statistics_unlocked);
      allocated_ = before + bytes;
      return;
    }
    std::lock_guard<Lock> guard(statistics_lock_);
    allocated_ += bytes;
  }

  Lock lock_, statistics_lock_;
  std::unordered_map<void*, Block*> blocks_;
  std::map<ListKey, Block*> free_;
  std::vector<std::pair<Block*, std::vector<Use>>> pending_;
  size_t reserved_ = 0, limit_ = 0;
  int64_t allocated_ = 0;
};

Allocator& allocator() {
  static Allocator* const one = new Allocator;
  return *one;
}

}  // namespace

void visit_allocator_in_commit() { allocator().visit(); }

void* allocate(size_t bytes, StreamId stream) {
  check_not_forked();
  note_thread_uses_device();
  void* pointer = allocator().allocate(bytes, stream);
  const StreamId lane = lane_of(stream);
  order::allocated(pointer, bytes, lane, mps_sim::stream(lane).encoded());
  return pointer;
}

void deallocate(void* pointer) {
  if (pointer == nullptr || in_bad_fork()) return;
  order::freed(pointer);
  allocator().deallocate(pointer);
}

void record_stream(void* pointer, StreamId stream) {
  order::recorded(pointer, lane_of(stream));
  allocator().record_stream(pointer, stream);
}
bool owns(const void* pointer) { return allocator().owns(pointer); }
void set_memory_limit(size_t bytes) { allocator().set_limit(bytes); }

void empty_cache() {
  check_not_forked();
  allocator().empty_cache();
  clear_graphs();
}

Memory memory() {
  Memory memory = allocator().memory();
  memory.graphs = graphs_of_this_thread();
  return memory;
}

}  // namespace mps_sim
