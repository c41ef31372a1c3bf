// What the parts of this backend share: PyTorch's streams, by number. 0 is the default stream.
//
// Builds differ in what their headers declare. torch 2.9 has one stream; torch 2.15 has a pool of which a thread selects a
// stream; a fork has a pool that gives every thread a stream. Nothing here looks at a version: a function is used where the
// headers declare it, and is `Unavailable` elsewhere.
#pragma once

#include <ATen/mps/MPSStream.h>

#include <type_traits>

#include "native/backend.h"

namespace at::mps {
class MPSStreamPool;  // The fork's. Stays incomplete where the headers do not define it.
}

namespace harness::backend {

// Chosen by overload resolution only where at::mps has no function of that name.
namespace fallback {

struct Nothing {};

template <typename... Arguments>
Nothing getStreamFromPool(Arguments...) {
  return {};
}

template <typename... Arguments>
Nothing getStreamByID(Arguments...) {
  return {};
}

}  // namespace fallback

template <typename Pool>
concept GivesEveryThreadAStream = requires { Pool::releaseCurrentThreadSlot(); };

inline constexpr bool has_fork_pool = GivesEveryThreadAStream<at::mps::MPSStreamPool>;

// Throws `Unavailable` for a number that this build has no stream for.
at::mps::MPSStream* stream_at(int stream);

int number_of(at::mps::MPSStream* stream);

// Selects a stream for the calling thread, for as long as it lives.
class StreamScope {
 public:
  explicit StreamScope(int stream);
  ~StreamScope() noexcept(false);
  StreamScope(const StreamScope&) = delete;
  StreamScope& operator=(const StreamScope&) = delete;

 private:
  int before_, selected_;
};

}  // namespace harness::backend
