// The rules of a Metal command buffer.
#include "metal.h"

#include <algorithm>

namespace mps_sim {

namespace {

bool overlap(const std::vector<Accesses::Range>& some, const std::vector<Accesses::Range>& others) {
  for (const auto& [begin, end] : some) {
    for (const auto& [other_begin, other_end] : others) {
      if (begin < other_end && other_begin < end) return true;
    }
  }
  return false;
}

}  // namespace

void Encoder::dispatch(Work work) {
  CommandBuffer* buffer = buffer_;
  std::lock_guard<std::mutex> guard(buffer->mutex_);
  if (buffer->status_.load() >= CommandBuffer::committed) {
    metal_assertion("setCurrentCommandEncoder:", "_status < MTLCommandBufferStatusCommitted");
  }
  buffer->work_.push_back(std::move(work));
}

void Encoder::end() {
  buffer_->is_encoding_.store(false);
  buffer_ = static_cast<CommandBuffer*>(scribble());
}

Encoder* CommandBuffer::compute_encoder() {
  std::lock_guard<std::mutex> guard(mutex_);
  if (status_.load() >= committed) {
    metal_assertion("setCurrentCommandEncoder:", "_status < MTLCommandBufferStatusCommitted");
  }
  if (is_encoding_.exchange(true)) {
    metal_assertion("tryCoalescingPreviousComputeCommandEncoderWithConfig:nextEncoderClass:",
                    "A command encoder is already encoding to this command buffer");
  }
  encoders_.push_back(std::make_unique<Encoder>(this));
  return encoders_.back().get();
}

void CommandBuffer::add_completed_handler(std::function<void()> handler) {
  std::lock_guard<std::mutex> guard(mutex_);
  if (status_.load() >= committed) {
    metal_assertion("addCompletedHandler:", "Completed handler provided after commit call");
  }
  handlers_.push_back(std::move(handler));
}

void CommandBuffer::commit() {
  std::lock_guard<std::mutex> guard(mutex_);
  if (is_encoding_.load()) metal_assertion("commit", "commit command buffer with uncommitted encoder");
  if (status_.exchange(committed) >= committed) {
    metal_assertion("validate", "commit an already committed command buffer");
  }
}

void CommandBuffer::let_write_overtake() {
  std::lock_guard<std::mutex> guard(mutex_);
  const std::shared_ptr<const Accesses> own = work_.back().accesses;
  for (size_t at = work_.size() - 1; at-- > 0;) {
    const auto& earlier = work_[at].accesses;
    // It reads or overwrites what the earlier one writes, which is another bug than this one. Or nobody knows.
    if (earlier == nullptr || overlap(earlier->writes, own->reads) || overlap(earlier->writes, own->writes)) return;
    if (!overlap(earlier->reads, own->writes)) continue;
    for (size_t one = work_.size() - 1; one > at; --one) {  // Positions stay in order: whoever waits for one waits for all before.
      std::swap(work_[one], work_[one - 1]);
      std::swap(work_[one].ticket, work_[one - 1].ticket);
    }
    return;
  }
}

void CommandBuffer::complete() {
  status_.store(completed);
  for (auto& handler : handlers_) handler();
  handlers_.clear();
  work_.clear();
  is_finished_.store(true);
  is_finished_.notify_all();
}

void CommandBuffer::wait_until_completed() { is_finished_.wait(false); }

bool CommandBuffer::is_empty() {
  std::lock_guard<std::mutex> guard(mutex_);
  return work_.empty();
}

}  // namespace mps_sim
