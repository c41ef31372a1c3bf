// What the simulated Metal and the native cases include of the C++ library, and in Objective-C++ of Apple's frameworks, read by the
// compiler once for each of the two languages.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#ifdef __OBJC__
#include <MetalPerformanceShadersGraph/MetalPerformanceShadersGraph.h>
#endif
