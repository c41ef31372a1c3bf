// The part of libdispatch that the harness needs, for platforms without it. Debian's ThreadSanitizer does not know
// libdispatch: correct code gives reports there, so a serial queue is a lock and a block runs on the calling thread.
#pragma once

typedef struct simulated_dispatch_queue* dispatch_queue_t;
typedef const void* dispatch_queue_attr_t;
typedef void (^dispatch_block_t)(void);
typedef void (*dispatch_function_t)(void*);

#define DISPATCH_QUEUE_SERIAL nullptr

extern "C" {
dispatch_queue_t dispatch_queue_create(const char* label, dispatch_queue_attr_t attributes);
void dispatch_release(dispatch_queue_t queue);
void dispatch_sync(dispatch_queue_t queue, dispatch_block_t block);
void dispatch_queue_set_specific(dispatch_queue_t queue, const void* key, void* context, dispatch_function_t destructor);
void* dispatch_get_specific(const void* key);
}
