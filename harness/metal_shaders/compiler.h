// Compiled Metal libraries: those that were bundled when the tree was built, and those that are compiled from text now.
//
// A folder has what is needed: `compile` makes a library of a text, `symbolize` names the line of an address, and what was compiled
// is kept beside them by the hash of the text. The variable MPS_STRESS_SHADERS names it; else it is `shaders/runtime` beside this
// library or program.
#pragma once

#include <string>
#include <vector>

#include "abi.h"

namespace metal_shaders {

struct Compiled {
  const metal_abi::Library* library = nullptr;
  std::string problem;  // The compiler's text where there is no library.
};

// `version` is the language's, as in 310. Ends the process with the name of what is not carried.
Compiled compile(const std::string& source, int version);

// All libraries of a section that the tree was built with: metal_basic or metal_bfloat. Ends the process where there is none.
std::vector<const metal_abi::Library*> bundled(const std::string& section);

// "FILE:LINE" of an address in a library's code; empty where that is not known.
std::string source_line(const void* site);

}  // namespace metal_shaders
