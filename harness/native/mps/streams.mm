// PyTorch's streams, for builds with one stream, with upstream's pool and with a fork's. Every choice is made by what the
// headers declare, in templates, since `if constexpr` outside of one still has to compile both branches.
#include "native/mps/streams.h"

namespace harness::backend {

namespace {

constexpr int kPoolOfUpstream = 32;  // Beside the default stream, says its MPSStream.h.

template <typename Found>
at::mps::MPSStream* found(Found stream, const char* function) {
  if constexpr (std::is_same_v<Found, fallback::Nothing>) {
    throw Unavailable(function);
  } else {
    return stream;
  }
}

template <typename Stream>
void select(Stream* stream) {
  // Found through its argument, so that it need not be declared.
  if constexpr (requires { setCurrentMPSStream(stream); }) {
    setCurrentMPSStream(stream);
  } else {
    throw Unavailable("setCurrentMPSStream");
  }
}

template <typename Pool>
at::mps::MPSStream* stream_of_pool(int stream) {
  if constexpr (GivesEveryThreadAStream<Pool>) {
    return Pool::instance().getStream(static_cast<size_t>(stream));
  } else {
    using namespace at::mps;
    using namespace fallback;
    return found(getStreamByID(int64_t{stream}), "getStreamByID");
  }
}

template <typename Pool>
int size_of_pool() {
  if constexpr (GivesEveryThreadAStream<Pool>) {
    return static_cast<int>(Pool::poolSize());
  } else {
    using namespace at::mps;
    using namespace fallback;
    return std::is_same_v<decltype(getStreamFromPool()), Nothing> ? 1 : 1 + kPoolOfUpstream;
  }
}

template <typename Pool>
void release_slot_of() {
  if constexpr (GivesEveryThreadAStream<Pool>) {
    Pool::releaseCurrentThreadSlot();
  } else {
    throw Unavailable("MPSStreamPool::releaseCurrentThreadSlot");
  }
}

}  // namespace

at::mps::MPSStream* stream_at(int stream) {
  return stream == 0 ? at::mps::getDefaultMPSStream() : stream_of_pool<at::mps::MPSStreamPool>(stream);
}

int number_of(at::mps::MPSStream* stream) { return static_cast<int>(stream->unwrap().id()); }

int stream_count() { return size_of_pool<at::mps::MPSStreamPool>(); }

int current_stream() { return number_of(at::mps::getCurrentMPSStream()); }

int new_stream() {
  using namespace at::mps;
  using namespace fallback;
  return number_of(found(getStreamFromPool(), "getStreamFromPool"));
}

void use_stream(int stream) { select(stream_at(stream)); }

void release_slot() { release_slot_of<at::mps::MPSStreamPool>(); }

StreamScope::StreamScope(int stream) : before_(current_stream()), selected_(stream) {
  if (selected_ != before_) use_stream(selected_);
}

StreamScope::~StreamScope() noexcept(false) {
  if (selected_ != before_) use_stream(before_);
}

}  // namespace harness::backend
