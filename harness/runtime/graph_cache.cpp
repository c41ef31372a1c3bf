// Models MPSGraph's cache: compiling costs time and happens outside the lock, so that two threads may compile one graph.
// A fault destroys a pipeline by overwriting its pointer and keeps its memory: whoever still runs it faults there, and
// ThreadSanitizer sees no order that a reference count would have made.
#include "graph_cache.h"

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "locks.h"
#include "metal.h"
#include "options.h"
#include "thread_state.h"

namespace mps_sim {

namespace {

constexpr size_t kGraphsMax = 4096;

std::atomic<uint64_t> compiles{0};

thread_local std::shared_ptr<Pipeline> found_pipeline;

GraphCache& shared_cache() {
  static GraphCache* const one = new GraphCache(true);
  return *one;
}

GraphCache* cache_of_this_thread() {
  if (!has_thread_streams()) return &shared_cache();
  ThreadState* thread = this_thread();
  if (thread == nullptr) return nullptr;
  if (thread->graphs == nullptr) thread->graphs = std::make_unique<GraphCache>(false);
  return thread->graphs.get();
}

// Of the faults that leave something out of the key.
bool has_short_keys() { return is_armed(Fault::graph_cache_wrong_key) || is_armed(Fault::graph_cache_key_without_mode); }

std::string short_key(const GraphKey& key) {
  return is_armed(Fault::graph_cache_wrong_key) ? key.shapes : key.shapes + '\x1f' + key.constants;
}

}  // namespace

void pay_compile_cost() {
  compiles.fetch_add(1, std::memory_order_relaxed);
  auto cost = std::chrono::microseconds(options().compile_us);
  if (schedule_is_free() && cost >= std::chrono::milliseconds(1)) std::this_thread::sleep_for(cost);
  auto until = std::chrono::steady_clock::now() + (cost < std::chrono::milliseconds(1) ? cost : std::chrono::microseconds(0));
  while (schedule_is_free() && std::chrono::steady_clock::now() < until) {
  }
  schedule_yield();
}

// The pipeline is kept: giving up this reference would order, by the reference count, what the
// fault leaves without any order, and ThreadSanitizer would sometimes be right to see no race.
void destroy_in_use(const std::shared_ptr<Pipeline>& pipeline) {
  static std::mutex mutex;
  static auto* const kept = new std::vector<std::shared_ptr<Pipeline>>;
  {
    std::lock_guard<std::mutex> guard(mutex);
    kept->push_back(pipeline);
  }
  pipeline->destroy();
}

void Pipeline::destroy() {
  is_destroyed_.store(true);
  order::graph_destroyed(used());
  self = static_cast<Pipeline*>(scribble());
}

void Pipeline::note_use(StreamId stream, uint64_t ticket) {
  used_[static_cast<size_t>(stream)].store(ticket);
  if (is_destroyed_.load()) order::graph_destroyed(used());  // Found in the cache before, submitted after.
}

order::Positions Pipeline::used() const {
  order::Positions positions;
  for (size_t stream = 0; stream < positions.size(); ++stream) {
    positions[stream] = used_[stream].load();
  }
  return positions;
}

void Pipeline::check() const {
  // Through the pointer: a destroyed pipeline's leads nowhere.
  const Pipeline* volatile through = self;
  const Pipeline* volatile again = through->self;
  (void)again;
}

class GraphCache::Locked {
 public:
  explicit Locked(GraphCache& cache) : lock_(cache.is_shared_ ? cache.lock_.get() : nullptr) {
    if (lock_ != nullptr) lock_->lock();
  }
  ~Locked() { unlock(); }
  void unlock() {
    if (lock_ != nullptr) lock_->unlock();
    lock_ = nullptr;
  }

 private:
  Lock* lock_;
};

GraphCache::GraphCache(bool is_shared) : is_shared_(is_shared), lock_(std::make_unique<Lock>()) {
  oldest_.newer = oldest_.older = &oldest_;
}

GraphCache::~GraphCache() { clear(); }

std::shared_ptr<Graph> GraphCache::find(const GraphKey& key, const std::function<std::shared_ptr<Graph>()>& compile) {
  std::string full_key = key.shapes + '\x1f' + key.constants + '\x1f' + key.mode;
  if (is_shared_ && strikes(Fault::graph_cache_unlocked)) {
    auto found = entries_.find(full_key);
    if (found != entries_.end()) {
      unlink(found->second.get());
      window(Fault::graph_cache_unlocked);
      link_newest(found->second.get());
      return found_graph(found->second.get());
    }
  }
  {
    Locked locked(*this);
    const bool is_short = strikes(Fault::graph_cache_wrong_key) ||
                          (!key.mode.empty() && strikes(Fault::graph_cache_key_without_mode));
    if (is_short) {
      auto found = by_short_key_.find(short_key(key));
      if (found != by_short_key_.end()) return use(found->second);
    }
    auto found = entries_.find(full_key);
    if (found != entries_.end()) {
      if (has_short_keys()) by_short_key_[short_key(key)] = found->second.get();
      return use(found->second.get());
    }
  }
  pay_compile_cost();  // Outside the lock, so that threads compile side by side.
  std::shared_ptr<Graph> graph = compile();
  Locked locked(*this);
  auto found = entries_.find(full_key);
  if (found != entries_.end()) {
    // Another thread was faster: its graph is in use already, ours is not.
    if (!strikes(Fault::graph_cache_double_compile)) return use(found->second.get());
    destroy_in_use(found->second->pipeline);
    found->second->pipeline = std::make_shared<Pipeline>();
    found->second->graph = std::move(graph);
    return use(found->second.get());
  }
  return use(insert(key, std::move(full_key), std::move(graph)));
}

std::shared_ptr<Graph> GraphCache::use(Entry* entry) {
  unlink(entry);
  link_newest(entry);
  return found_graph(entry);
}

std::shared_ptr<Graph> GraphCache::found_graph(Entry* entry) {
  found_pipeline = entry->pipeline;
  return entry->graph;
}

GraphCache::Entry* GraphCache::insert(const GraphKey& key, std::string full_key, std::shared_ptr<Graph> graph) {
  auto entry = std::make_unique<Entry>();
  Entry* inserted = entry.get();
  inserted->key = full_key;
  inserted->short_key = has_short_keys() ? short_key(key) : "";
  inserted->graph = std::move(graph);
  inserted->pipeline = std::make_shared<Pipeline>();
  link_newest(inserted);
  entries_[std::move(full_key)] = std::move(entry);
  if (has_short_keys()) by_short_key_[inserted->short_key] = inserted;
  if (entries_.size() > kGraphsMax) evict_oldest();
  return inserted;
}

void GraphCache::evict_oldest() {
  auto* entry = static_cast<Entry*>(oldest_.newer);
  unlink(entry);
  auto named = by_short_key_.find(entry->short_key);
  if (named != by_short_key_.end() && named->second == entry) by_short_key_.erase(named);
  entries_.erase(entries_.find(entry->key));
}

void GraphCache::unlink(Node* node) {
  node->older->newer = node->newer;
  node->newer->older = node->older;
  node->newer = node->older = static_cast<Node*>(scribble());
}

void GraphCache::link_newest(Node* node) {
  node->older = oldest_.older;
  node->newer = &oldest_;
  node->older->newer = node;
  oldest_.older = node;
}

void GraphCache::clear() {
  Locked locked(*this);
  // Work that is under way keeps its own reference to its pipeline; the unsafe path destroys what is in use.
  if (strikes(Fault::graph_cache_cleared_in_use)) {
    for (auto& [key, entry] : entries_) destroy_in_use(entry->pipeline);
  }
  by_short_key_.clear();
  entries_.clear();
  oldest_.newer = oldest_.older = &oldest_;
}

void GraphCache::end_of_thread() {
  if (!strikes(Fault::thread_exit_in_flight)) return;
  for (auto& [key, entry] : entries_) destroy_in_use(entry->pipeline);
}

size_t GraphCache::size() {
  Locked locked(*this);
  return entries_.size();
}

std::shared_ptr<Graph> find_graph(const GraphKey& key, const std::function<std::shared_ptr<Graph>()>& compile) {
  GraphCache* cache = cache_of_this_thread();
  return cache != nullptr ? cache->find(key, compile) : compile();
}

std::shared_ptr<Pipeline> take_found_pipeline() { return std::exchange(found_pipeline, nullptr); }
void note_found_pipeline(std::shared_ptr<Pipeline> pipeline) { found_pipeline = std::move(pipeline); }

size_t graphs_of_this_thread() {
  GraphCache* cache = cache_of_this_thread();
  return cache != nullptr ? cache->size() : 0;
}

void clear_graphs() {
  if (GraphCache* cache = cache_of_this_thread()) cache->clear();
}

uint64_t compile_count() { return compiles.load(); }

}  // namespace mps_sim
