// A stream's serial queue, entered so that exceptions come out of it.
#pragma once

#include <functional>

namespace harness::backend {

// Runs `body` on a dispatch queue and waits for it; rethrows what it throws. No exception may pass through libdispatch. The
// queue's type has one name in C++ and another one in Objective-C++: the two could not be linked.
void on_queue(void* queue, const std::function<void()>& body);

}  // namespace harness::backend
