// Models MPSStream: encoding on a serial queue, one open command buffer, one thread that runs what is committed. The ways
// of the faults leave the queue for one window and then come back to the safe way, so that nothing but the window is
// wrong. Tickets count encoded work; whoever waits for a stream waits for a ticket.
#include "stream.h"

#include <pthread.h>

#include <chrono>
#include <exception>
#include <utility>

#include "allocator.h"
#include "counters.h"
#include "options.h"
#include "order.h"
#include "thread_state.h"

namespace mps_sim {

namespace {

// For the fault error_wrong_thread: errors that belong to no stream.
std::mutex device_errors_mutex;
std::vector<std::string> device_errors;

std::string take_device_error() {
  if (!is_armed(Fault::error_wrong_thread)) return "";
  std::lock_guard<std::mutex> guard(device_errors_mutex);
  if (device_errors.empty()) return "";
  std::string text = device_errors.back();
  device_errors.pop_back();
  return text;
}

}  // namespace

void Stream::submit(Work work) {
  if (strikes(Fault::encoder_outside_queue)) {
    encode_unqueued(std::move(work));
    return;
  }
  if (strikes(Fault::encoder_released)) {
    Encoder* kept = nullptr;
    queue_.sync([&] {
      if (encoder_ == nullptr) encoder_ = current_buffer()->compute_encoder();
      kept = encoder_;
      work.ticket = encoded_.fetch_add(1) + 1;
    });
    window(Fault::encoder_released);
    kept->dispatch(std::move(work));
    return;
  }
  queue_.sync([&] {
    encode(std::move(work));
    if (++encoded_in_buffer_ >= options().commit_every) commit();
  });
}

void Stream::encode(Work work) {
  if (encoder_ == nullptr) encoder_ = current_buffer()->compute_encoder();
  work.ticket = encoded_.fetch_add(1) + 1;
  const bool overwrites = work.accesses != nullptr && work.accesses->overwrites;
  encoder_->dispatch(std::move(work));
  if (overwrites && strikes(Fault::dispatch_write_after_read)) buffer_->let_write_overtake();
}

void Stream::encode_unqueued(Work work) {
  Encoder* encoder = encoder_;
  if (encoder == nullptr) {
    CommandBuffer* buffer = current_buffer();
    window(Fault::encoder_outside_queue);
    encoder = encoder_ = buffer->compute_encoder();
  }
  work.ticket = encoded_.fetch_add(1) + 1;
  encoder->dispatch(std::move(work));
}

void Stream::wait_for(StreamId awaited, uint64_t ticket) {
  if (awaited == id_ || mps_sim::stream(awaited).has_completed(ticket)) return;
  Work work;
  work.name = "wait_for_event";
  work.awaited_stream = awaited;
  work.awaited_ticket = ticket;
  submit(std::move(work));
}

uint64_t Stream::flush() {
  commit_with_faults();
  uint64_t ticket = 0;
  queue_.sync([&] {
    commit();
    ticket = encoded_.load();
  });
  return ticket;
}

// The unsafe ways to commit that real backends had. After them the safe one finds nothing left to do.
void Stream::commit_with_faults() {
  if (strikes(Fault::commit_twice)) {
    CommandBuffer* buffer = nullptr;
    queue_.sync([&] {
      end_encoding();
      buffer = buffer_;
    });
    if (buffer == nullptr) return;
    window(Fault::commit_twice);
    buffer->commit();
    push(buffer->shared_from_this());
    queue_.sync([&] {
      if (buffer_ == buffer) buffer_ = nullptr;
    });
  } else if (strikes(Fault::handler_after_commit)) {
    CommandBuffer* buffer = nullptr;
    queue_.sync([&] { buffer = buffer_; });
    if (buffer == nullptr) return;
    window(Fault::handler_after_commit);
    buffer->add_completed_handler([] { counters().handlers.fetch_add(1, std::memory_order_relaxed); });
  } else if (strikes(Fault::commit_open_encoder)) {
    queue_.sync([&] { end_encoding(); });
    window(Fault::commit_open_encoder);
    queue_.sync([&] {
      if (buffer_ != nullptr) commit_buffer(std::exchange(buffer_, nullptr));
      encoder_ = nullptr;
    });
  } else if (strikes(Fault::dispatch_sync_reentrant)) {
    queue_.sync_noting_contention([&](bool was_busy) {
      window(Fault::dispatch_sync_reentrant);
      if (was_busy) queue_.sync([&] { commit(); });
    });
  }
}

// As a thread does that takes the stream to be its own: whoever encodes meanwhile has the same encoder and buffer in hand.
void Stream::commit_unqueued(Fault fault) {
  CommandBuffer* buffer = buffer_;
  if (buffer == nullptr || buffer->is_empty()) return;
  Encoder* encoder = encoder_;
  if (encoder != nullptr) encoder->end();
  window(fault);
  buffer->commit();
  push(buffer->shared_from_this());
  queue_.sync([&] {
    if (buffer_ == buffer) buffer_ = nullptr;
    if (encoder_ == encoder) encoder_ = nullptr;
  });
}

void Stream::commit() {
  if (is_armed(Fault::lock_order_inversion)) visit_allocator_in_commit();
  if (buffer_ == nullptr || buffer_->is_empty()) return;
  end_encoding();
  commit_buffer(std::exchange(buffer_, nullptr));
}

void Stream::commit_buffer(CommandBuffer* buffer) {
  encoded_in_buffer_ = 0;
  buffer->commit();
  push(buffer->shared_from_this());
}

void Stream::end_encoding() {
  if (encoder_ != nullptr) std::exchange(encoder_, nullptr)->end();
}

CommandBuffer* Stream::current_buffer() {
  if (buffer_ == nullptr) {
    auto made = std::make_shared<CommandBuffer>();
    buffer_ = made.get();
    recent_[recent_next_++ % recent_.size()] = std::move(made);
  }
  return buffer_;
}

void Stream::push(std::shared_ptr<CommandBuffer> buffer) {
  counters().commits.fetch_add(1, std::memory_order_relaxed);
  wait_for_room();
  std::lock_guard<std::mutex> guard(run_mutex_);
  committed_.push_back(std::move(buffer));
  if (!schedule_is_free()) return;
  if (!has_thread_) {
    has_thread_ = true;
    std::thread([this] { run_forever(); }).detach();
  }
  work_ready_.notify_one();
}

void Stream::wait_for_room() {
  size_t depth = static_cast<size_t>(options().queue_depth);
  std::unique_lock<std::mutex> guard(run_mutex_);
  if (committed_.size() < depth) return;
  if (schedule_is_free()) {
    waiters_.fetch_add(1);
    progressed_.wait(guard, [&] { return committed_.size() < depth; });
    waiters_.fetch_sub(1);
    return;
  }
  guard.unlock();
  schedule_wait([&] {
    std::lock_guard<std::mutex> inner(run_mutex_);
    return committed_.size() < depth;
  });
}

void Stream::finish() { wait_for_ticket(flush()); }

void Stream::wait_for_ticket(uint64_t ticket) {
  await(ticket);
  order::host_saw(id_, ticket);
}

bool Stream::has_completed(uint64_t ticket) const {
  if (completed_.load() < ticket) return false;
  order::host_saw(id_, ticket);
  return true;
}

bool Stream::is_done_with_all() const { return has_completed(encoded_.load()); }

void Stream::await(uint64_t ticket) {
  if (completed_.load() >= ticket) return;
  if (!schedule_is_free()) {
    schedule_wait([&] { return completed_.load() >= ticket; });
    return;
  }
  bool loses_wakeup = strikes(Fault::wait_lost_wakeup) && completed_.load() < ticket;
  if (loses_wakeup) window(Fault::wait_lost_wakeup);
  std::unique_lock<std::mutex> guard(run_mutex_);
  waiters_.fetch_add(1);
  if (loses_wakeup) progressed_.wait(guard);
  progressed_.wait(guard, [&] { return completed_.load() >= ticket; });
  waiters_.fetch_sub(1);
}

void Stream::run_forever() {
#ifdef __linux__
  pthread_setname_np(pthread_self(), ("sim-stream-" + std::to_string(id_)).c_str());  // For debuggers and reports.
#endif
  std::unique_lock<std::mutex> guard(run_mutex_);
  while (true) {
    work_ready_.wait(guard, [&] { return !committed_.empty(); });
    std::shared_ptr<CommandBuffer> buffer = committed_.front();
    guard.unlock();
    for (Work& work : buffer->work()) execute(work);
    buffer->complete();
    guard.lock();
    committed_.pop_front();
    if (waiters_.load() > 0) progressed_.notify_all();
  }
}

bool Stream::is_runnable() {
  std::lock_guard<std::mutex> guard(run_mutex_);
  if (committed_.empty()) return false;
  const Work& next = committed_.front()->work()[next_in_front_];
  return next.awaited_stream < 0 || mps_sim::stream(next.awaited_stream).completed_.load() >= next.awaited_ticket;
}

void Stream::run_one() {
  std::shared_ptr<CommandBuffer> buffer;
  {
    std::lock_guard<std::mutex> guard(run_mutex_);
    buffer = committed_.front();
  }
  Work& work = buffer->work()[next_in_front_];
  note_ran(id_, work.name);
  execute(work);
  if (++next_in_front_ < buffer->work().size()) return;
  next_in_front_ = 0;
  buffer->complete();
  std::lock_guard<std::mutex> guard(run_mutex_);
  committed_.pop_front();
}

void Stream::execute(Work& work) {
  if (work.awaited_stream >= 0) {
    mps_sim::stream(work.awaited_stream).await(work.awaited_ticket);
    order::stream_waited(id_, work.ticket, work.name, work.awaited_stream, work.awaited_ticket);
  } else {
    if (options().jitter_us > 0 && schedule_is_free()) {
      auto pause = jitter_.below(static_cast<uint64_t>(options().jitter_us) + 1);
      std::this_thread::sleep_for(std::chrono::microseconds(pause));
    }
    counters().executed.fetch_add(1, std::memory_order_relaxed);
    if (work.pipeline != nullptr) work.pipeline->check();
    const order::RunningWork running(id_, work.ticket, work.name, work.promise);
    try {
      work.kernel();
    } catch (const std::exception& error) {
      keep_error(work, error.what());
    }
    work.kernel = nullptr;
  }
  advance(work.ticket);
}

void Stream::keep_error(const Work& work, const std::string& text) {
  if (strikes(Fault::error_swallowed)) return;
  if (strikes(Fault::error_wrong_thread)) {
    std::lock_guard<std::mutex> guard(device_errors_mutex);
    device_errors.push_back(text);
    return;
  }
  std::lock_guard<std::mutex> guard(run_mutex_);
  errors_.push_back({text, work.owner_alive});
}

std::string Stream::take_error() {
  std::string text = take_device_error();
  if (!text.empty()) return text;
  ThreadState* thread = this_thread();
  std::lock_guard<std::mutex> guard(run_mutex_);
  if (!has_thread_streams()) {
    if (errors_.empty()) return "";
    text = errors_.front().text;
    errors_.clear();
    return text;
  }
  for (auto error = errors_.begin(); error != errors_.end(); ++error) {
    bool is_mine = thread != nullptr && error->owner_alive == thread->is_alive;
    if (is_mine || error->owner_alive == nullptr || !error->owner_alive->load()) {
      text = error->text;
      errors_.erase(error);
      return text;
    }
  }
  return "";
}

void Stream::advance(uint64_t ticket) {
  if (ticket > completed_.load()) completed_.store(ticket);
  if (waiters_.load() == 0) return;
  std::lock_guard<std::mutex> guard(run_mutex_);
  progressed_.notify_all();
}

}  // namespace mps_sim
