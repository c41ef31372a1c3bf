// NSObject and autorelease pools over GCC's Objective-C runtime, which has neither retain nor release. What does
// not work with it: a C++ catch in an Objective-C++ file (each function gets the Objective-C personality, and the throw ends in
// std::terminate), ARC, instance variables made by themselves. So exceptions are caught in C++ files, and owners are counted
// here. The count lies before the object: the compiler lays constant strings out itself, and leaves no room for an ivar.
#include <Foundation/Foundation.h>
#include <objc/message.h>

#include <string>
#include <vector>

#include "runtime/assertions.h"

namespace {

constexpr size_t kBefore = 16;  // Room for the count, and for the alignment of what follows.
constexpr int kScribble = 0x55;

int* owners(id object) { return reinterpret_cast<int*>(reinterpret_cast<char*>(object) - kBefore); }

struct Pool {
  std::vector<id> objects;
  Pool* outer = nullptr;
};

void release_all(std::vector<id>& objects) {
  // By index: what is let go of may autorelease more.
  for (size_t index = 0; index < objects.size(); ++index) [objects[index] release];
}

// As on a Mac, a thread has a pool below all others: what it holds is let go of when the thread ends.
struct ThreadPool {
  std::vector<id> objects;
  Pool* innermost = nullptr;
  ~ThreadPool() { release_all(objects); }
};
thread_local ThreadPool thread_pool;

std::string name_of(id receiver, SEL selector) {
  Class of = object_getClass(receiver);
  return std::string(class_isMetaClass(of) ? "+" : "-") + "[" + class_getName(of) + " " + sel_getName(selector) + "]";
}

// GCC's runtime asks for a function to call when an object does not know a selector; by default it prints something else.
IMP unknown_selector(id receiver, SEL selector) { mps_sim::not_simulated(name_of(receiver, selector)); }

__attribute__((constructor)) void name_unknown_selectors() { __objc_msg_forward2 = unknown_selector; }

}  // namespace

// What `@autoreleasepool` expands to in sources that are compiled for a runtime with pools of its own (ObjFW).
extern "C" void* objc_autoreleasePoolPush(void) {
  auto* pool = new Pool;
  pool->outer = thread_pool.innermost;
  return thread_pool.innermost = pool;
}

extern "C" void objc_autoreleasePoolPop(void* token) {
  Pool* pool = static_cast<Pool*>(token);
  release_all(pool->objects);
  thread_pool.innermost = pool->outer;
  delete pool;
}

@implementation NSObject

+ (void)initialize {
}

+ (instancetype)alloc {
  char* memory = static_cast<char*>(calloc(1, kBefore + class_getInstanceSize(self)));
  NSObject* made = reinterpret_cast<NSObject*>(memory + kBefore);
  made->isa = self;
  __atomic_store_n(owners(made), 1, __ATOMIC_RELAXED);
  return made;
}

+ (instancetype)new {
  return [[self alloc] init];
}

+ (Class)class {
  return self;
}

+ (BOOL)instancesRespondToSelector:(SEL)selector {
  return class_getInstanceMethod(self, selector) != nullptr;
}

+ (BOOL)isSubclassOfClass:(Class)which {
  for (Class one = self; one; one = class_getSuperclass(one)) {
    if (one == which) return YES;
  }
  return NO;
}

- (instancetype)init {
  return self;
}

- (instancetype)retain {
  __atomic_fetch_add(owners(self), 1, __ATOMIC_RELAXED);
  return self;
}

- (void)release {
  // What every owner did to the object happened before it is destroyed.
  int before = __atomic_fetch_sub(owners(self), 1, __ATOMIC_ACQ_REL);
  if (before < 1) mps_sim::metal_assertion("release", "message sent to deallocated instance", class_getName(isa));
  if (before == 1) [self dealloc];
}

- (NSUInteger)retainCount {
  return static_cast<NSUInteger>(__atomic_load_n(owners(self), __ATOMIC_RELAXED));
}

- (instancetype)autorelease {
  (thread_pool.innermost != nullptr ? thread_pool.innermost->objects : thread_pool.objects).push_back(self);
  return self;
}

- (void)dealloc {
  // So that a later message faults instead of seeming to work (as with MallocScribble).
  size_t bytes = class_getInstanceSize(isa);
  memset(static_cast<void*>(self), kScribble, bytes);
  asm volatile("" : : "r"(self) : "memory");  // Else the compiler drops it: nobody reads it before `free`.
  free(reinterpret_cast<char*>(self) - kBefore);
}

- (Class)class {
  return isa;
}

- (BOOL)isKindOfClass:(Class)which {
  return [isa isSubclassOfClass:which];
}

- (BOOL)respondsToSelector:(SEL)selector {
  return class_getInstanceMethod(isa, selector) != nullptr;
}

- (BOOL)isEqual:(id)other {
  return self == other;
}

- (NSUInteger)hash {
  return reinterpret_cast<NSUInteger>(self);
}

- (id)copy {
  return [(id<NSCopying>)self copyWithZone:nullptr];
}

- (id)valueForKey:(NSString*)key {
  std::string name = [key UTF8String];
  if (name == "description") return [self description];
  mps_sim::not_simulated(std::string("-[") + class_getName(isa) + " valueForKey:@\"" + name + "\"]");
}

- (NSString*)description {
  return [NSString stringWithFormat:@"<%s: %p>", class_getName(isa), self];
}

@end

@implementation NSAutoreleasePool

- (id)init {
  pool_ = objc_autoreleasePoolPush();
  return self;
}

- (void)drain {
  [self release];
}

- (void)dealloc {
  objc_autoreleasePoolPop(pool_);
  [super dealloc];
}

@end

extern "C" id objc_retain(id object) { return [(NSObject*)object retain]; }
extern "C" void objc_release(id object) { [(NSObject*)object release]; }
extern "C" id objc_autorelease(id object) { return [(NSObject*)object autorelease]; }
