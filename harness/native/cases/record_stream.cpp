// record_stream: a buffer that another stream still uses is not given out again. Six situations, all threads at once.
#include <functional>
#include <mutex>
#include <vector>

#include "common.h"
#include "native/cases.h"

namespace harness {

namespace {

constexpr size_t kBytes = 512;
constexpr int kBusyUs = 30;

struct Result {
  backend::Buffer buffer;
  uint8_t value;
};

// A buffer that is filled on `own` and read on `other`, which has other things to do first.
Result hand_over(Worker& worker, int own, int other, int iteration, const std::function<void(backend::Buffer)>& record) {
  backend::Buffer source = backend::allocate(kBytes, own);
  backend::Buffer result = backend::allocate(kBytes, other);
  backend::fill(own, source, worker.byte(iteration));
  uint32_t event = backend::event_acquire(false);
  backend::event_record(event, own);
  backend::event_wait(event, other);
  backend::event_release(event);
  keep_busy(other, kBusyUs);
  record(source);
  backend::copy(other, source, result);
  backend::deallocate(source);
  return {result, worker.byte(iteration)};
}

// What would take the memory of a buffer that was freed too early.
void churn(Worker& worker, int own, int count) {
  for (int one = 0; one < count; ++one) {
    backend::Buffer next = backend::allocate(kBytes, own);
    backend::fill(own, next, 0xff);
    backend::deallocate(next);
  }
  worker.done();
}

void check(Result result, int stream) {
  backend::synchronize(stream);
  expect_filled(result.buffer, result.value, "value_while_recorded");
  backend::deallocate(result.buffer);
}

struct Mailbox {
  std::mutex mutex;
  std::vector<backend::Buffer> letters;
};

}  // namespace

void run_record_stream(const Settings& settings) {
  std::vector<Mailbox> mailboxes(static_cast<size_t>(settings.threads));
  run_crew(settings, settings.threads, [&](Worker& worker) {
    int own = backend::current_stream(), other = other_stream(own), third = other_stream(own);
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      Result result{};
      switch (iteration % 5) {
        case 0:  // Once, on one stream.
          result = hand_over(worker, own, other, iteration, [&](auto buffer) { backend::record_stream(buffer, other); });
          churn(worker, own, 1);
          check(result, other);
          break;
        case 1:  // Several times, on several streams.
          result = hand_over(worker, own, other, iteration, [&](auto buffer) {
            for (int stream : {third, other, own, other}) backend::record_stream(buffer, stream);
          });
          churn(worker, own, 1);
          check(result, other);
          break;
        case 2: {  // Memory that is not the device's, and a buffer that was freed: no effect.
          int host = 0;
          backend::record_foreign(&host, other);
          backend::Buffer freed = backend::allocate(kBytes, own);
          backend::deallocate(freed);
          backend::record_foreign(freed.handle, other);
          worker.done();
          break;
        }
        case 3: {  // Freed by another thread than the one that allocated it.
          auto& next = mailboxes[static_cast<size_t>((worker.index() + 1) % worker.count())];
          backend::Buffer letter = backend::allocate(kBytes, own);
          backend::fill(own, letter, worker.byte(iteration));
          backend::record_stream(letter, other);
          {
            std::lock_guard<std::mutex> guard(next.mutex);
            next.letters.push_back(letter);
          }
          auto& mine = mailboxes[static_cast<size_t>(worker.index())];
          std::vector<backend::Buffer> letters;
          {
            std::lock_guard<std::mutex> guard(mine.mutex);
            letters.swap(mine.letters);
          }
          for (backend::Buffer one : letters) backend::deallocate(one);
          worker.done();
          break;
        }
        default:  // With other allocations around it.
          churn(worker, own, 2);
          result = hand_over(worker, own, other, iteration, [&](auto buffer) { backend::record_stream(buffer, other); });
          churn(worker, own, 3);
          check(result, other);
      }
    }
  });
  backend::synchronize_all();
  for (Mailbox& one : mailboxes) {
    for (backend::Buffer letter : one.letters) backend::deallocate(letter);
  }
}

}  // namespace harness
