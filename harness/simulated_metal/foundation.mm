// NSObject and NSAutoreleasePool for GCC's Objective-C runtime, which has neither retain nor release. What does not work
// with it: a C++ catch in an Objective-C++ file (each function gets the Objective-C personality, and the throw ends in
// std::terminate), ARC, instance variables made by themselves. So exceptions are caught in C++ files, and references are
// counted here, by hand, with the order that the end of an object needs.
#include "foundation.h"

#include <vector>

namespace {
thread_local NSAutoreleasePool* innermost_pool = nil;
}  // namespace

@interface NSAutoreleasePool (Adding)
+ (void)addObject:(id)object;
@end

@implementation NSObject

+ (void)initialize {
}

+ (id)alloc {
  NSObject* made = static_cast<NSObject*>(class_createInstance(self, 0));
  made->references_ = 1;
  return made;
}

+ (id)new {
  return [[self alloc] init];
}

+ (Class)class {
  return self;
}

- (id)init {
  return self;
}

- (id)retain {
  __atomic_fetch_add(&references_, 1, __ATOMIC_RELAXED);
  return self;
}

- (void)release {
  // What every owner did to the object happened before it is destroyed.
  if (__atomic_fetch_sub(&references_, 1, __ATOMIC_ACQ_REL) == 1) [self dealloc];
}

- (id)autorelease {
  [NSAutoreleasePool addObject:self];
  return self;
}

- (void)dealloc {
  object_dispose(self);
}

@end

@implementation NSAutoreleasePool

+ (void)addObject:(id)object {
  // Without a pool the object leaks, as it does on a Mac.
  if (innermost_pool != nil) static_cast<std::vector<id>*>(innermost_pool->objects_)->push_back(object);
}

- (id)init {
  outer_ = innermost_pool;
  objects_ = new std::vector<id>;
  innermost_pool = self;
  return self;
}

- (void)drain {
  [self release];
}

- (void)dealloc {
  auto* objects = static_cast<std::vector<id>*>(objects_);
  for (id object : *objects) [object release];
  delete objects;
  innermost_pool = outer_;
  [super dealloc];
}

@end
