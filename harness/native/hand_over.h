// What comes before a commit comes before the command buffer's completion handlers. Metal orders the two in code that
// ThreadSanitizer does not see, so that a handler's first look at what was made for it would be reported on a Mac. The
// simulated Metal is seen as a whole and needs no such help.
#pragma once

#if defined(__APPLE__) && defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HARNESS_TELLS_TSAN
extern "C" void __tsan_release(void* token);
extern "C" void __tsan_acquire(void* token);
#endif
#endif

namespace harness {

// Before the commit, by the thread that made what the handler will use: `token` is its address.
inline void hand_over([[maybe_unused]] void* token) {
#ifdef HARNESS_TELLS_TSAN
  __tsan_release(token);
#endif
}

// First thing in the handler.
inline void take_over([[maybe_unused]] void* token) {
#ifdef HARNESS_TELLS_TSAN
  __tsan_acquire(token);
#endif
}

}  // namespace harness
