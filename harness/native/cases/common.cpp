// What several cases need of streams. A stream is kept busy by host code that sleeps in stream order, so that work is in
// flight when the next thread arrives.
#include "common.h"

#include <chrono>
#include <thread>

namespace harness {

void keep_busy(int stream, int microseconds) {
  backend::call(stream, [microseconds] { std::this_thread::sleep_for(std::chrono::microseconds(microseconds)); });
}

int select_own_stream() {
  if (backend::stream_count() == 1) return backend::current_stream();
  int stream = backend::new_stream();
  backend::use_stream(stream);
  return stream;
}

int other_stream(int own) {
  // Round-robin over more than one stream: the second is another one at the latest.
  int stream = backend::new_stream();
  return stream != own ? stream : backend::new_stream();
}

}  // namespace harness
