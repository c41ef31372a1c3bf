// Runs kernels on streams' threads, with one intra-op thread each. A storage that a kernel kept alive is only put down by
// the stream's thread and let go by the next thread that copies: a Python object may hang on it.
#include "launch.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>

#include <atomic>
#include <mutex>
#include <vector>

namespace mps_sim {

namespace {

using SetThreads = void (*)(int);
using GetThreads = int (*)();
using SetLocalThreads = int (*)(int);

template <typename Function>
Function function(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
}

// at::set_num_threads would also set the number that threads made later begin with, so the thread's own settings of
// OpenMP and MKL are made instead.
void use_one_intra_op_thread() {
  at::internal::lazy_init_num_threads();
  const auto openmp = function<SetThreads>("omp_set_num_threads");
  const auto mkl = function<SetLocalThreads>("MKL_Set_Num_Threads_Local");
  if (mkl != nullptr) mkl(1);
  if (openmp != nullptr) {
    openmp(1);
  } else {
    at::set_num_threads(1);
  }
}

struct Retained {
  std::mutex mutex;
  std::vector<c10::Storage*> storages;
  std::atomic<bool> is_any{false};
};

Retained& retained() {
  static auto* const one = new Retained;
  return *one;
}

}  // namespace

OneIntraOpThread::OneIntraOpThread() {
  static const auto get = function<GetThreads>("omp_get_max_threads");
  static const auto set = function<SetThreads>("omp_set_num_threads");
  static const auto set_mkl = function<SetLocalThreads>("MKL_Set_Num_Threads_Local");
  if (set_mkl != nullptr) mkl_threads_ = set_mkl(1);
  if (get == nullptr || set == nullptr) return;
  openmp_threads_ = get();
  set(1);
}

OneIntraOpThread::~OneIntraOpThread() {
  static const auto set = function<SetThreads>("omp_set_num_threads");
  static const auto set_mkl = function<SetLocalThreads>("MKL_Set_Num_Threads_Local");
  if (set_mkl != nullptr) set_mkl(mkl_threads_);
  if (openmp_threads_ > 0) set(openmp_threads_);
}

void run_on_stream_thread(const std::function<void()>& kernel) {
  thread_local bool is_prepared = false;
  if (!is_prepared) {
    use_one_intra_op_thread();
    is_prepared = true;
  }
  at::AutoDispatchBelowADInplaceOrView no_autograd;
  try {
    kernel();
  } catch (const c10::Error& error) {
    throw DeviceError(error.what_without_backtrace());
  }
}

std::shared_ptr<void> retain(const c10::Storage& storage) {
  return {new c10::Storage(storage), [](c10::Storage* kept) {
            if (is_armed(Fault::wait_holds_gil)) {  // As a completion handler does that holds the last reference.
              put_down(kept);
              return;
            }
            std::lock_guard<std::mutex> guard(retained().mutex);
            retained().storages.push_back(kept);
            retained().is_any.store(true, std::memory_order_release);
          }};
}

void release_retained() {
  if (!retained().is_any.load(std::memory_order_acquire)) return;
  std::vector<c10::Storage*> storages;
  {
    std::lock_guard<std::mutex> guard(retained().mutex);
    storages.swap(retained().storages);
    retained().is_any.store(false, std::memory_order_release);
  }
  for (c10::Storage* storage : storages) put_down(storage);
}

}  // namespace mps_sim
