// The part of Foundation that the harness and PyTorch's MPS sources need, where there is none: our own declarations of
// public names, over GCC's Objective-C runtime. Manual reference counting only. Nothing here is Apple's code.
#pragma once
#include <objc/objc.h>
#include <objc/runtime.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <simulated/macos.h>

// GCC's `nil` is an `id`, which cannot initialise a pointer to a class in Objective-C++.
#undef nil
#define nil __null
#undef Nil
#define Nil __null

#pragma clang diagnostic ignored "-Wnullability-completeness"

#define NS_ENUM(type, name) enum name : type name; enum name : type
#define NS_OPTIONS(type, name) enum name : type name; enum name : type

typedef unsigned long NSUInteger;
typedef long NSInteger;
typedef double NSTimeInterval;
typedef double CFTimeInterval;
typedef struct NSRange { NSUInteger location, length; } NSRange;
static inline NSRange NSMakeRange(NSUInteger location, NSUInteger length) { return {location, length}; }
#define NSIntegerMax LONG_MAX
#define NSUIntegerMax ULONG_MAX
#define NSNotFound LONG_MAX
typedef NSUInteger NSStringEncoding;
enum : NSUInteger { NSASCIIStringEncoding = 1, NSUTF8StringEncoding = 4 };
typedef struct { NSInteger majorVersion, minorVersion, patchVersion; } NSOperatingSystemVersion;
typedef struct { unsigned long state; id* itemsPtr; unsigned long* mutationsPtr; unsigned long extra[5]; } NSFastEnumerationState;
@class NSString;

@protocol NSObject
- (instancetype)retain;
- (void)release;
- (instancetype)autorelease;
- (NSUInteger)retainCount;
- (Class)class;
- (BOOL)isKindOfClass:(Class)which;
- (BOOL)respondsToSelector:(SEL)selector;
- (BOOL)isEqual:(id)other;
- (NSUInteger)hash;
@property(readonly) NSString* description;
@end

@protocol NSCopying
- (id)copyWithZone:(void*)zone;
@end

@protocol NSFastEnumeration
- (NSUInteger)countByEnumeratingWithState:(NSFastEnumerationState*)state objects:(id*)buffer count:(NSUInteger)length;
@end

__attribute__((objc_root_class))
@interface NSObject <NSObject> {
  Class isa;
}
+ (instancetype)alloc;
+ (instancetype)new;
+ (Class)class;
+ (BOOL)instancesRespondToSelector:(SEL)selector;
+ (BOOL)isSubclassOfClass:(Class)which;
+ (void)initialize;
- (instancetype)init;
- (id)copy;
- (void)dealloc;
- (id)valueForKey:(NSString*)key;
@end

// What `@autoreleasepool` expands to with GCC's runtime.
@interface NSAutoreleasePool : NSObject {
  void* pool_;
}
- (void)drain;
@end

@interface NSString : NSObject <NSCopying>
+ (instancetype)stringWithUTF8String:(const char*)text;
+ (instancetype)stringWithCString:(const char*)text encoding:(NSStringEncoding)encoding;
+ (instancetype)stringWithFormat:(NSString*)format, ...;
- (NSUInteger)length;
- (BOOL)isEqualToString:(NSString*)other;
@property(readonly) const char* UTF8String;
@end

// What `@"..."` becomes with this runtime: {isa, text, length}.
@interface NSConstantString : NSString {
  const char* text_;
  unsigned int length_;
}
@end

@interface NSNumber : NSObject <NSCopying>
+ (NSNumber*)numberWithBool:(BOOL)value;
+ (NSNumber*)numberWithChar:(char)value;
+ (NSNumber*)numberWithUnsignedChar:(unsigned char)value;
+ (NSNumber*)numberWithShort:(short)value;
+ (NSNumber*)numberWithInt:(int)value;
+ (NSNumber*)numberWithUnsignedInt:(unsigned int)value;
+ (NSNumber*)numberWithLong:(long)value;
+ (NSNumber*)numberWithUnsignedLong:(unsigned long)value;
+ (NSNumber*)numberWithLongLong:(long long)value;
+ (NSNumber*)numberWithUnsignedLongLong:(unsigned long long)value;
+ (NSNumber*)numberWithInteger:(NSInteger)value;
+ (NSNumber*)numberWithUnsignedInteger:(NSUInteger)value;
+ (NSNumber*)numberWithDouble:(double)value;
+ (NSNumber*)numberWithFloat:(float)value;
@property(readonly) int intValue;
@property(readonly) unsigned int unsignedIntValue;
@property(readonly) long longValue;
@property(readonly) unsigned long unsignedLongValue;
@property(readonly) long long longLongValue;
@property(readonly) NSInteger integerValue;
@property(readonly) NSUInteger unsignedIntegerValue;
@property(readonly) double doubleValue;
@end

@interface NSArray<ObjectType> : NSObject <NSCopying, NSFastEnumeration> {
 @public
  void* items_;  // std::vector<id>
}
+ (instancetype)array;
+ (instancetype)arrayWithObjects:(const ObjectType _Nonnull[])objects count:(NSUInteger)count;
+ (instancetype)arrayWithObject:(ObjectType)object;
+ (instancetype)arrayWithArray:(NSArray<ObjectType>*)array;
@property(readonly) NSUInteger count;
- (ObjectType)objectAtIndex:(NSUInteger)index;
- (ObjectType)objectAtIndexedSubscript:(NSUInteger)index;
- (ObjectType)firstObject;
- (ObjectType)lastObject;
- (NSString*)componentsJoinedByString:(NSString*)separator;
@end

@interface NSMutableArray<ObjectType> : NSArray <ObjectType>
+ (instancetype)arrayWithCapacity:(NSUInteger)capacity;
- (instancetype)initWithCapacity:(NSUInteger)capacity;
- (void)addObject:(ObjectType)object;
- (void)setObject:(ObjectType)object atIndexedSubscript:(NSUInteger)index;
- (void)insertObject:(ObjectType)object atIndex:(NSUInteger)index;
- (void)removeObjectAtIndex:(NSUInteger)index;
- (void)removeLastObject;
- (void)removeAllObjects;
@end

@interface NSDictionary<KeyType, ObjectType> : NSObject <NSCopying, NSFastEnumeration> {
 @public
  void* items_;  // A table of its own, in order of insertion.
}
+ (instancetype)dictionary;
+ (instancetype)dictionaryWithObjects:(const ObjectType _Nonnull[])objects
                              forKeys:(const id<NSCopying> _Nonnull[])keys
                                count:(NSUInteger)count;
@property(readonly) NSUInteger count;
- (ObjectType)objectForKey:(KeyType)key;
- (ObjectType)objectForKeyedSubscript:(KeyType)key;
- (NSArray<KeyType>*)allKeys;
- (NSArray<ObjectType>*)allValues;
@end

@interface NSMutableDictionary<KeyType, ObjectType> : NSDictionary <KeyType, ObjectType>
+ (instancetype)dictionaryWithCapacity:(NSUInteger)capacity;
- (instancetype)initWithCapacity:(NSUInteger)capacity;
- (void)setObject:(ObjectType)object forKey:(id<NSCopying>)key;
- (void)setObject:(ObjectType)object forKeyedSubscript:(id<NSCopying>)key;
- (void)removeObjectForKey:(KeyType)key;
- (void)removeAllObjects;
@end

@interface NSError : NSObject {
  NSString* description_;
  NSInteger code_;
}
- (instancetype)initWithDescription:(NSString*)description code:(NSInteger)code;  // Ours.
@property(readonly) NSInteger code;
@property(readonly) NSString* localizedDescription;
@end
@interface NSURL : NSObject <NSCopying> {
  NSString* path_;
}
@property(readonly) NSString* path;
+ (NSURL*)fileURLWithPath:(NSString*)path;
@end
@interface NSData : NSObject {
  void* bytes_;
  NSUInteger length_;
}
+ (instancetype)dataWithBytes:(const void*)bytes length:(NSUInteger)length;
@property(readonly) const void* bytes;
@property(readonly) NSUInteger length;
@end
@interface NSProcessInfo : NSObject
+ (NSProcessInfo*)processInfo;
@property(readonly) NSOperatingSystemVersion operatingSystemVersion;
- (BOOL)isOperatingSystemAtLeastVersion:(NSOperatingSystemVersion)version;
@end

extern "C" Class NSClassFromString(NSString* name);
extern "C" void NSLog(NSString* format, ...);
