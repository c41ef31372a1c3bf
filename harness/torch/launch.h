// Hands kernels to streams' threads.
#pragma once

#include <ATen/core/LegacyTypeDispatch.h>
#include <c10/core/Storage.h>

#include <memory>
#include <utility>

#include "announce.h"
#include "errors.h"
#include "runtime/device.h"

namespace mps_sim {

// Runs a kernel where torch's CPU code may be called: one intra-op thread, no autograd. Errors become DeviceError.
void run_on_stream_thread(const std::function<void()>& kernel);

template <typename Function>
void enqueue(StreamId stream, const char* name, Function kernel) {
  translated([&] {
    submit_own(stream, name, [kernel = std::move(kernel), origin = KernelOrigin(name, stream)]() mutable {
      origin.run([&] { run_on_stream_thread(std::ref(kernel)); });
    });
  });
}

// Torch's CPU code runs on the calling thread alone while it lives.
class OneIntraOpThread {
 public:
  OneIntraOpThread();
  ~OneIntraOpThread();
  OneIntraOpThread(const OneIntraOpThread&) = delete;
  OneIntraOpThread& operator=(const OneIntraOpThread&) = delete;

 private:
  int openmp_threads_ = 0, mkl_threads_ = 0;
};

// Waits for the stream and raises what failed on it. Not the program waits but an operation, for its own result.
inline void wait_for(StreamId stream) {
  translated([&] { synchronize(stream, false); });
}

// Keeps a CPU storage alive for a kernel. A stream's thread only puts it down: a Python object may hang on it, so that
// it is let go by the next thread that calls `release_retained`.
std::shared_ptr<void> retain(const c10::Storage& storage);
void release_retained();

}  // namespace mps_sim
