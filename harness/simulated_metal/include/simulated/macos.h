// Included before PyTorch's own sources (`-include`): names of macOS's C library that they use without a header of their own,
// and headers that libc++'s bring along and libstdc++'s do not.
#pragma once

#include <mach/vm_page_size.h>
#include <signal.h>
#include <sys/types.h>
#include <time.h>

#ifdef __cplusplus
#include <algorithm>
#include <condition_variable>
#include <iterator>
#include <mutex>
#include <numeric>
#include <sstream>

extern "C" {
#endif
uint64_t clock_gettime_nsec_np(clockid_t clock);
int pthread_main_np(void);
#ifdef __cplusplus
}
#endif

// The SDK that is simulated: what PyTorch's sources declare themselves for an older one is declared by these headers.
#define __MAC_13_0 130000
#define __MAC_13_1 130100
#define __MAC_13_2 130200
#define __MAC_13_3 130300
#define __MAC_14_0 140000
#define __MAC_14_4 140400
#define __MAC_15_0 150000
#define MAC_OS_X_VERSION_13_0 130000
#define MAC_OS_X_VERSION_14_0 140000
#define MAC_OS_X_VERSION_15_0 150000
#define MAC_OS_X_VERSION_MIN_REQUIRED 150000
