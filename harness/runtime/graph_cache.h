// Compiled graphs, by key, least recently used first out. Upstream's design has one cache for all threads behind a lock;
// the fork has one per thread, without.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <unordered_map>

#include "device.h"
#include "order.h"

namespace mps_sim {

class Lock;

// The executable half of a graph. A stream's thread looks through `self` before it runs the work: a destroyed pipeline
// faults there, as a released pipeline state object does in the driver.
struct Pipeline {
  Pipeline* self = this;
  void destroy();
  void check() const;

  void note_use(StreamId stream, uint64_t ticket);  // By work that is submitted.
  order::Positions used() const;

 private:
  std::array<std::atomic<uint64_t>, order::kStreamsMax> used_{};
  std::atomic<bool> is_destroyed_{false};
};

class GraphCache {
 public:
  explicit GraphCache(bool is_shared);
  ~GraphCache();

  std::shared_ptr<Graph> find(const GraphKey& key, const std::function<std::shared_ptr<Graph>()>& compile);
  void clear();
  void end_of_thread();
  size_t size();

 private:
  struct Node {  // Of the list by age. An unlinked node's neighbours are poisoned, as the Linux kernel does.
    Node* newer;
    Node* older;
  };
  struct Entry : Node {
    std::string key;
    std::string short_key;
    std::shared_ptr<Graph> graph;
    std::shared_ptr<Pipeline> pipeline;
  };

  class Locked;

  std::shared_ptr<Graph> use(Entry* entry);  // Makes it the newest.
  std::shared_ptr<Graph> found_graph(Entry* entry);
  Entry* insert(const GraphKey& key, std::string full_key, std::shared_ptr<Graph> graph);
  void evict_oldest();
  static void unlink(Node* node);
  void link_newest(Node* node);

  const bool is_shared_;
  std::unique_ptr<Lock> lock_;
  Node oldest_;  // Ring: `oldest_.newer` is the oldest entry, `oldest_.older` the newest.
  std::unordered_map<std::string, std::unique_ptr<Entry>> entries_;
  std::unordered_map<std::string, Entry*> by_short_key_;  // Kept only while a fault is armed that leaves part of the key out.
};

// The pipeline of the graph that the calling thread found last: the next work that it submits runs it.
std::shared_ptr<Pipeline> take_found_pipeline();
void note_found_pipeline(std::shared_ptr<Pipeline> pipeline);

void pay_compile_cost();

// The faults' way to end a pipeline.
void destroy_in_use(const std::shared_ptr<Pipeline>& pipeline);

size_t graphs_of_this_thread();
void clear_graphs();
uint64_t compile_count();

}  // namespace mps_sim
