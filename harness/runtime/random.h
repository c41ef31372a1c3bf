// Seeded random numbers. Seeds are hashed: adding small integers made neighbouring streams shifted copies of each other.
#pragma once

#include <cstdint>

namespace mps_sim {

inline uint64_t mix(uint64_t x) {  // The finaliser of splitmix64 (Steele, Lea and Flood, OOPSLA 2014).
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

inline uint64_t mix(uint64_t a, uint64_t b) { return mix(mix(a) ^ b); }

class Random {
 public:
  explicit Random(uint64_t seed) : state_(mix(seed)) {}

  uint64_t next() { return mix(state_ += 0x9e3779b97f4a7c15ULL); }
  double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
  uint64_t below(uint64_t limit) { return next() % limit; }  // The bias is below 2^-50 for the limits used here.

 private:
  uint64_t state_;
};

}  // namespace mps_sim
