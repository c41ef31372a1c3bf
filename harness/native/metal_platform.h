// Metal and libdispatch: Apple's on a Mac, our simulated subset of them elsewhere (simulated_metal/include). The cases are written
// once.
#pragma once

#import <Metal/Metal.h>
#include <dispatch/dispatch.h>
