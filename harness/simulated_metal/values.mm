// Foundation's plain values: strings, numbers, errors, and what the process says of macOS.
#include <Foundation/Foundation.h>
#include <stdarg.h>
#include <stdio.h>

#include <string>

#include "options.h"

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
- (instancetype)initWithInteger:(NSInteger)value { [self release]; return (id)[whole(value) retain]; }
- (id)copyWithZone:(void*)zone { return [self retain]; }
- (int)intValue { return static_cast<int>([self longLongValue]); }
- (unsigned int)unsignedIntValue { return static_cast<unsigned int>([self longLongValue]); }
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
+ (instancetype)dataWithBytes:(const void*)bytes length:(NSUInteger)length {
  NSData* made = [[self alloc] autorelease];
  made->bytes_ = malloc(length > 0 ? length : 1);
  made->length_ = length;
  memcpy(made->bytes_, bytes, length);
  return made;
}
- (void)dealloc {
  free(bytes_);
  [super dealloc];
}
- (const void*)bytes {
  return bytes_;
}
- (NSUInteger)length {
  return length_;
}
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
