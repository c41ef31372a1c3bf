// Before sources with a std::vector<long long>: that is a vector of int64_t on a Mac, where int64_t is `long long`. Here it is
// `long`, and a vector of the one is no list of numbers for torch's functions, so the name gets the other's content.
#pragma once

#include <vector>

namespace std {
template <>
class vector<long long, allocator<long long>> : public vector<long> {
 public:
  using vector<long>::vector;
};
}  // namespace std
