// All threads on one stream, as upstream's plain threads are: its command buffer and encoder are what they share.
#include "common.h"
#include "native/cases.h"

namespace harness {

namespace {
constexpr int kSynchronizeEvery = 3;
constexpr size_t kBytes = 256;
}  // namespace

void run_shared_stream(const Settings& settings) {
  run_crew(settings, settings.threads, [&](Worker& worker) {
    int stream = backend::current_stream();
    expect(stream == 0, "plain_threads_on_stream_0", "a plain thread is on stream " + std::to_string(stream));
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      backend::Buffer from = backend::allocate(kBytes, stream), to = backend::allocate(kBytes, stream);
      backend::fill(stream, from, worker.byte(iteration));
      backend::copy(stream, from, to);
      backend::deallocate(from);
      if ((iteration + worker.index()) % kSynchronizeEvery == 0) {
        backend::synchronize(stream);
        expect_filled(to, worker.byte(iteration), "value");
      } else {
        backend::commit(stream);
      }
      backend::deallocate(to);
      worker.done();
    }
  });
  backend::synchronize_all();
}

}  // namespace harness
