// Blocks and objects: a copied block owns the objects that it captured, and is itself an object.
#include <Block.h>
#include <Block_private.h>
#include <Foundation/Foundation.h>

#include <initializer_list>

// libBlocksRuntime leaves captured objects to a garbage collector, so these two of its functions are replaced: link with -Wl,--wrap=_Block_object_assign,--wrap=_Block_object_dispose.
extern "C" {
void __real__Block_object_assign(void* to, const void* object, const int flags);
void __real__Block_object_dispose(const void* object, const int flags);
id objc_retain(id object);
void objc_release(id object);

constexpr int kFieldIsObject = 3;  // Of the blocks' ABI.

void __wrap__Block_object_assign(void* to, const void* object, const int flags) {
  if (flags == kFieldIsObject) {
    *static_cast<const void**>(to) = objc_retain((id) const_cast<void*>(object));
  } else {
    __real__Block_object_assign(to, object, flags);
  }
}

void __wrap__Block_object_dispose(const void* object, const int flags) {
  if (flags == kFieldIsObject) {
    objc_release((id) const_cast<void*>(object));
  } else {
    __real__Block_object_dispose(object, flags);
  }
}
}

// A C++ lambda that is given where a block is wanted becomes a block that is autoreleased: a message to it. libBlocksRuntime's
// classes are room without content, so this class is copied there. A copy has its table of methods, if it has been made: the
// runtime makes it at the first message to an object.
@interface SimulatedBlock : NSObject
@end

@implementation SimulatedBlock

+ (void)load {
  constexpr size_t kClassBytes = 13 * sizeof(void*);  // Of the runtime's ABI.
  const NSObject* one = [SimulatedBlock alloc];
  [one hash];
  for (void** room : {_NSConcreteStackBlock, _NSConcreteMallocBlock, _NSConcreteGlobalBlock}) memcpy(room, self, kClassBytes);
}

- (instancetype)retain {
  return (id)_Block_copy(self);
}

- (void)release {
  _Block_release(self);
}

- (id)copyWithZone:(void*)zone {
  return (id)_Block_copy(self);
}

@end
