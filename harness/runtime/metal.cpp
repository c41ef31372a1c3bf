// The rules of a Metal command buffer.
#include "metal.h"

namespace mps_sim {

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
