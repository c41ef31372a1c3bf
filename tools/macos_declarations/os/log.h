// Declarations for `make check-macos` alone: see Foundation/Foundation.h.
#pragma once

typedef struct os_log_s* os_log_t;
