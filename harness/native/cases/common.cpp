#include "common.h"

#include <chrono>

namespace harness {

void keep_busy(int stream, int microseconds) {
  backend::call(stream, [microseconds] {
    auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(microseconds);
    while (std::chrono::steady_clock::now() < until) {
    }
  });
}

}  // namespace harness
