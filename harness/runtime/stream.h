// A stream: a serial queue to encode on, a command buffer that is being filled, and a thread that runs what is committed.
#pragma once

#include <array>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "locks.h"
#include "metal.h"
#include "random.h"

namespace mps_sim {

class Stream {
 public:
  explicit Stream(StreamId id) : id_(id), jitter_(mix(0x5eed, static_cast<uint64_t>(id))) {}

  StreamId id() const { return id_; }
  SerialQueue& queue() { return queue_; }

  void submit(Work work);                          // Encodes; commits every few operations.
  void wait_for(StreamId stream, uint64_t ticket); // Later work here waits until that stream has come so far.
  uint64_t flush();                                // Commits; returns the ticket of the last work submitted.
  void finish();                                   // Commits and waits on the calling thread; raises no errors.
  void wait_for_ticket(uint64_t ticket);           // The host does.
  bool is_idle() const { return completed_.load() >= encoded_.load(); }
  bool has_completed(uint64_t ticket) const;       // The host asks; where it has, the host's later work comes after it.
  bool is_done_with_all() const;                   // The same for all that is encoded now.
  uint64_t encoded() const { return encoded_.load(); }

  // Runs a committed buffer after those before it. Public for queues that are filled without a stream's encoding.
  void push(std::shared_ptr<CommandBuffer> buffer);

  // The first error that the calling thread has to know of (its own, or of one that has ended); empty for none. In upstream's
  // design a stream has one buffer of errors, as MPSStream::checkLastError reads it: whoever waits first gets the first one,
  // and nobody the others.
  std::string take_error();

  void encode_unqueued(Work work);  // For faults: without the serial queue.
  void commit_unqueued(Fault fault);

  // For the executor of the replayable mode.
  bool is_runnable();
  void run_one();

 private:
  struct Error {
    std::string text;
    std::shared_ptr<std::atomic<bool>> owner_alive;
  };

  void encode(Work work);
  void commit();
  void commit_with_faults();
  void commit_buffer(CommandBuffer* buffer);
  void end_encoding();
  CommandBuffer* current_buffer();
  void wait_for_room();
  void await(uint64_t ticket);
  void run_forever();
  void execute(Work& work);
  void keep_error(const Work& work, const std::string& text);
  void advance(uint64_t ticket);

  const StreamId id_;
  SerialQueue queue_;
  CommandBuffer* buffer_ = nullptr;  // Guarded by the queue, like the next two.
  Encoder* encoder_ = nullptr;
  int encoded_in_buffer_ = 0;
  std::atomic<uint64_t> encoded_{0};
  std::atomic<uint64_t> completed_{0};

  std::mutex run_mutex_;
  std::condition_variable work_ready_, progressed_;
  std::atomic<int> waiters_{0};
  std::deque<std::shared_ptr<CommandBuffer>> committed_;
  size_t next_in_front_ = 0;  // Replayable mode: the next work of the first committed buffer.
  bool has_thread_ = false;
  // A buffer stays in memory while it may still be looked at by a thread that should not: faults race on these.
  std::array<std::shared_ptr<CommandBuffer>, 256> recent_;
  size_t recent_next_ = 0;
  std::vector<Error> errors_;
  Random jitter_;
};

Stream& stream(StreamId id);  // Throws std::invalid_argument for one that does not exist.

}  // namespace mps_sim
