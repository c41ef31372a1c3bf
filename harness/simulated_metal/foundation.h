// The part of Foundation that the harness needs, for platforms without it: our own declarations, over GCC's Objective-C
// runtime. Manual reference counting only. Nothing here is Apple's code, and none of it is used on a Mac.
#pragma once

#include <objc/objc.h>
#include <objc/runtime.h>

// GCC's `nil` is an `id`, which cannot initialise a pointer to a class in Objective-C++.
#undef nil
#define nil __null
#undef Nil
#define Nil __null

typedef unsigned long NSUInteger;
typedef long NSInteger;

struct NSRange {
  NSUInteger location, length;
};

static inline NSRange NSMakeRange(NSUInteger location, NSUInteger length) { return {location, length}; }

@protocol NSObject
- (id)retain;
- (void)release;
- (id)autorelease;
@end

__attribute__((objc_root_class))
@interface NSObject <NSObject> {
  Class isa;
  int references_;
}
+ (id)alloc;
+ (id)new;
+ (Class)class;
- (id)init;
- (void)dealloc;
@end

// What `@autoreleasepool` expands to with this runtime.
@interface NSAutoreleasePool : NSObject {
  NSAutoreleasePool* outer_;
  void* objects_;
}
- (void)drain;
@end
