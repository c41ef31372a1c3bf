// Metal and libdispatch: Apple's on a Mac, our simulated subset of them elsewhere. The cases are written once.
#pragma once

#ifdef __APPLE__
#import <Metal/Metal.h>
#include <dispatch/dispatch.h>
#else
#include "simulated_metal/dispatch.h"
#include "simulated_metal/metal.h"
#endif
