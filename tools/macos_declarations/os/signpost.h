// Declarations for `make check-macos` alone: see Foundation/Foundation.h.
#pragma once

#include <os/log.h>
#include <stdint.h>

typedef uint64_t os_signpost_id_t;
typedef uint8_t os_signpost_type_t;
