// The part of libdispatch that the harness and PyTorch's MPS sources need, where there is none. Debian's libdispatch is no
// choice: its ThreadSanitizer does not know it, and correct code gives reports there.
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct simulated_dispatch_queue* dispatch_queue_t;
typedef const void* dispatch_queue_attr_t;
typedef struct simulated_dispatch_data* dispatch_data_t;
typedef void (^dispatch_block_t)(void);
typedef void (*dispatch_function_t)(void*);

#define DISPATCH_QUEUE_SERIAL ((dispatch_queue_attr_t)0)
#define DISPATCH_QUEUE_PRIORITY_HIGH 2
#define DISPATCH_QUEUE_PRIORITY_DEFAULT 0
#define DISPATCH_QUEUE_PRIORITY_LOW (-2)
#define DISPATCH_DATA_DESTRUCTOR_DEFAULT ((dispatch_block_t)0)

#ifdef __cplusplus
extern "C" {
#endif
dispatch_queue_t dispatch_queue_create(const char* label, dispatch_queue_attr_t attributes);
dispatch_queue_t dispatch_get_main_queue(void);
dispatch_queue_t dispatch_get_global_queue(long priority, unsigned long flags);  // A queue of its own per priority, serial.
const char* dispatch_queue_get_label(dispatch_queue_t queue);
void dispatch_retain(void* object);
void dispatch_release(void* object);
void dispatch_sync(dispatch_queue_t queue, dispatch_block_t block);
void dispatch_sync_f(dispatch_queue_t queue, void* context, dispatch_function_t work);
void dispatch_async(dispatch_queue_t queue, dispatch_block_t block);
void dispatch_queue_set_specific(dispatch_queue_t queue, const void* key, void* context, dispatch_function_t destructor);
void* dispatch_queue_get_specific(dispatch_queue_t queue, const void* key);
void* dispatch_get_specific(const void* key);
dispatch_data_t dispatch_data_create(const void* buffer, size_t size, dispatch_queue_t queue, dispatch_block_t destructor);
dispatch_data_t dispatch_data_create_map(dispatch_data_t data, const void** buffer, size_t* size);  // The same object, retained.
#ifdef __cplusplus
}
#endif
