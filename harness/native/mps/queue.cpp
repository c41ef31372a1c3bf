// A C++ file among Objective-C++ ones, in which the queue's type has another name. The exception is caught inside the
// function that libdispatch calls and thrown again outside, because none may pass through libdispatch.
#include "native/mps/queue.h"

#include <dispatch/dispatch.h>

#include <exception>

namespace harness::backend {

namespace {

struct Turn {
  const std::function<void()>& body;
  std::exception_ptr thrown;
};

void take(void* context) {
  Turn& turn = *static_cast<Turn*>(context);
  try {
    turn.body();
  } catch (...) {
    turn.thrown = std::current_exception();
  }
}

}  // namespace

void on_queue(void* queue, const std::function<void()>& body) {
  Turn turn{body, nullptr};
  dispatch_sync_f(static_cast<dispatch_queue_t>(queue), &turn, take);
  if (turn.thrown != nullptr) std::rethrow_exception(turn.thrown);
}

}  // namespace harness::backend
