// NSObject, autorelease pools and plain values over GCC's Objective-C runtime, which has neither retain nor release. What does
// not work with it: a C++ catch in an Objective-C++ file (each function gets the Objective-C personality, and the throw ends in
// std::terminate), ARC, instance variables made by themselves. So exceptions are caught in C++ files, and owners are counted
// here. The count lies before the object: the compiler lays constant strings out itself, and leaves no room for an ivar.
#include <Foundation/Foundation.h>
#include <objc/message.h>
#include <stdarg.h>
#include <stdio.h>

#include <string>
#include <vector>

#include "options.h"
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

@interface SimulatedString : NSString {
 @public
  std::string* text_;
}
@end

namespace {

// `%@` is an object's description; everything else is printf's.
std::string formatted(const char* format, va_list arguments) {
  std::string text;
  for (const char* at = format; *at != '\0';) {
    if (*at != '%') {
      text += *at++;
      continue;
    }
    const char* end = at + 1;
    while (*end != '\0' && strchr("@%diouxXeEfFgGcspaA", *end) == nullptr) ++end;
    std::string directive(at, *end == '\0' ? end : end + 1);
    char piece[512] = "";
    if (*end == '@') {
      id object = va_arg(arguments, id);
      text += object == nil ? "(null)" : [[object description] UTF8String];
    } else if (*end == '%') {
      text += '%';
    } else if (strchr("eEfFgGaA", *end) != nullptr && *end != '\0') {
      snprintf(piece, sizeof piece, directive.c_str(), va_arg(arguments, double));
    } else if (*end == 's') {
      text += va_arg(arguments, const char*);
    } else if (*end == 'p' || directive.find_first_of("lzqj") != std::string::npos) {
      snprintf(piece, sizeof piece, directive.c_str(), va_arg(arguments, long));
    } else {
      snprintf(piece, sizeof piece, directive.c_str(), va_arg(arguments, int));
    }
    text += piece;
    at += directive.size();
  }
  return text;
}

}  // namespace

@implementation NSString

+ (instancetype)stringWithUTF8String:(const char*)text {
  SimulatedString* made = [SimulatedString alloc];
  made->text_ = new std::string(text);
  return (id)[made autorelease];
}

+ (instancetype)stringWithCString:(const char*)text encoding:(NSStringEncoding)encoding {
  return [self stringWithUTF8String:text];
}

+ (instancetype)stringWithFormat:(NSString*)format, ... {
  va_list arguments;
  va_start(arguments, format);
  std::string text = formatted([format UTF8String], arguments);
  va_end(arguments);
  return [self stringWithUTF8String:text.c_str()];
}

- (id)copyWithZone:(void*)zone {
  return [self retain];
}

- (NSUInteger)length {
  return strlen([self UTF8String]);
}

- (BOOL)isEqualToString:(NSString*)other {
  return other != nil && strcmp([self UTF8String], [other UTF8String]) == 0;
}

- (BOOL)isEqual:(id)other {
  return [other isKindOfClass:[NSString class]] && [self isEqualToString:other];
}

- (NSUInteger)hash {
  return std::hash<std::string>()([self UTF8String]);
}

- (NSString*)description {
  return self;
}

@end

@implementation SimulatedString
- (const char*)UTF8String {
  return text_->c_str();
}
- (void)dealloc {
  delete text_;
  [super dealloc];
}
@end

// Laid out by the compiler: nothing lies before it, so nobody may count its owners.
@implementation NSConstantString
- (const char*)UTF8String {
  return text_;
}
- (instancetype)retain {
  return self;
}
- (void)release {
}
- (instancetype)autorelease {
  return self;
}
- (NSUInteger)retainCount {
  return NSUIntegerMax;
}
@end

@interface SimulatedNumber : NSNumber {
 @public
  long long whole_;
  double real_;
  BOOL is_real_;
}
@end

namespace {

NSNumber* whole(long long value) {
  SimulatedNumber* made = [SimulatedNumber alloc];
  made->whole_ = value;
  made->real_ = static_cast<double>(value);
  return [made autorelease];
}

NSNumber* real(double value) {
  SimulatedNumber* made = [SimulatedNumber alloc];
  made->whole_ = static_cast<long long>(value);
  made->real_ = value;
  made->is_real_ = YES;
  return [made autorelease];
}

}  // namespace

@implementation NSNumber
// clang-format off
+ (NSNumber*)numberWithBool:(BOOL)value { return whole(value); }
+ (NSNumber*)numberWithChar:(char)value { return whole(value); }
+ (NSNumber*)numberWithUnsignedChar:(unsigned char)value { return whole(value); }
+ (NSNumber*)numberWithShort:(short)value { return whole(value); }
+ (NSNumber*)numberWithInt:(int)value { return whole(value); }
+ (NSNumber*)numberWithUnsignedInt:(unsigned int)value { return whole(value); }
+ (NSNumber*)numberWithLong:(long)value { return whole(value); }
+ (NSNumber*)numberWithUnsignedLong:(unsigned long)value { return whole(static_cast<long long>(value)); }
+ (NSNumber*)numberWithLongLong:(long long)value { return whole(value); }
+ (NSNumber*)numberWithUnsignedLongLong:(unsigned long long)value { return whole(static_cast<long long>(value)); }
+ (NSNumber*)numberWithInteger:(NSInteger)value { return whole(value); }
+ (NSNumber*)numberWithUnsignedInteger:(NSUInteger)value { return whole(static_cast<long long>(value)); }
+ (NSNumber*)numberWithDouble:(double)value { return real(value); }
+ (NSNumber*)numberWithFloat:(float)value { return real(value); }
- (id)copyWithZone:(void*)zone { return [self retain]; }
- (int)intValue { return static_cast<int>([self longLongValue]); }
- (long)longValue { return [self longLongValue]; }
- (unsigned long)unsignedLongValue { return static_cast<unsigned long>([self longLongValue]); }
- (NSInteger)integerValue { return [self longLongValue]; }
- (NSUInteger)unsignedIntegerValue { return static_cast<NSUInteger>([self longLongValue]); }
// clang-format on

- (BOOL)isEqual:(id)other {
  return [other isKindOfClass:[NSNumber class]] && [self doubleValue] == [other doubleValue] &&
         [self longLongValue] == [other longLongValue];
}

- (NSUInteger)hash {
  return static_cast<NSUInteger>([self longLongValue]);
}

@end

@implementation SimulatedNumber
- (long long)longLongValue {
  return whole_;
}
- (double)doubleValue {
  return real_;
}
- (NSString*)description {
  return is_real_ ? [NSString stringWithFormat:@"%g", real_] : [NSString stringWithFormat:@"%lld", whole_];
}
@end

@implementation NSError
- (id)initWithDescription:(NSString*)description code:(NSInteger)code {
  description_ = [description retain];
  code_ = code;
  return self;
}
- (void)dealloc {
  [description_ release];
  [super dealloc];
}
- (NSInteger)code {
  return code_;
}
- (NSString*)localizedDescription {
  return description_;
}
- (NSString*)description {
  return description_;
}
@end

@implementation NSURL
+ (NSURL*)fileURLWithPath:(NSString*)path {
  NSURL* made = [[NSURL alloc] autorelease];
  made->path_ = [path copy];
  return made;
}
- (void)dealloc {
  [path_ release];
  [super dealloc];
}
- (id)copyWithZone:(void*)zone {
  return [self retain];
}
- (NSString*)path {
  return path_;
}
@end

@implementation NSData
@end

@implementation NSProcessInfo
+ (NSProcessInfo*)processInfo {
  return [[NSProcessInfo new] autorelease];
}
- (NSOperatingSystemVersion)operatingSystemVersion {
  return {simulated::options().macos_major, simulated::options().macos_minor, 0};
}
- (BOOL)isOperatingSystemAtLeastVersion:(NSOperatingSystemVersion)version {
  NSOperatingSystemVersion mine = [self operatingSystemVersion];
  if (mine.majorVersion != version.majorVersion) return mine.majorVersion > version.majorVersion;
  if (mine.minorVersion != version.minorVersion) return mine.minorVersion > version.minorVersion;
  return mine.patchVersion >= version.patchVersion;
}
@end

Class NSClassFromString(NSString* name) { return (Class)objc_getClass([name UTF8String]); }

void NSLog(NSString* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::string text = formatted([format UTF8String], arguments) + "\n";
  va_end(arguments);
  fputs(text.c_str(), stderr);
}

extern "C" id objc_retain(id object) { return [(NSObject*)object retain]; }
extern "C" void objc_release(id object) { [(NSObject*)object release]; }
extern "C" id objc_autorelease(id object) { return [(NSObject*)object autorelease]; }
