// NSArray and NSDictionary. As on a Mac, a mutable one is for one thread at a time and takes no lock: a race on it is seen.
#include <Foundation/Foundation.h>

#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "runtime/assertions.h"

namespace {

using Items = std::vector<id>;

// Keys are compared as Foundation does, by `hash` and `isEqual:`.
struct Hash {
  size_t operator()(id key) const { return [key hash]; }
};
struct Equal {
  bool operator()(id one, id other) const { return one == other || [one isEqual:other]; }
};
struct Table {
  Items keys;
  std::unordered_map<id, id, Hash, Equal> values;
};

Items& items_of(NSArray* array) { return *static_cast<Items*>(array->items_); }
Table& table_of(NSDictionary* dictionary) { return *static_cast<Table*>(dictionary->items_); }

[[noreturn]] void beyond(const char* method, NSUInteger index, size_t count) {
  std::string text = "index " + std::to_string(index) + " beyond bounds [0 .. " + std::to_string(count) + "]";
  mps_sim::metal_assertion(method, text.c_str(), "NSArray");
}

NSUInteger enumerate(NSFastEnumerationState* state, Items& items) {
  if (state->state != 0) return 0;
  state->state = 1;
  state->itemsPtr = items.data();
  state->mutationsPtr = &state->extra[0];
  return items.size();
}

}  // namespace

@implementation NSArray

+ (instancetype)alloc {
  NSArray* made = [super alloc];
  made->items_ = new Items;
  return made;
}

+ (instancetype)array {
  return [[self alloc] autorelease];
}

+ (instancetype)arrayWithObjects:(const id*)objects count:(NSUInteger)count {
  NSArray* made = [self array];
  for (NSUInteger index = 0; index < count; ++index) items_of(made).push_back([objects[index] retain]);
  return made;
}

+ (instancetype)arrayWithObject:(id)object {
  return [self arrayWithObjects:&object count:1];
}

+ (instancetype)arrayWithArray:(NSArray*)array {
  return [self arrayWithObjects:items_of(array).data() count:[array count]];
}

- (void)dealloc {
  for (id item : items_of(self)) [item release];
  delete &items_of(self);
  [super dealloc];
}

- (id)copyWithZone:(void*)zone {
  return [[NSArray arrayWithObjects:items_of(self).data() count:[self count]] retain];
}

- (id)mutableCopy {
  return [[NSMutableArray arrayWithArray:self] retain];
}

- (NSUInteger)count {
  return items_of(self).size();
}

- (id)objectAtIndex:(NSUInteger)index {
  if (index >= [self count]) beyond("objectAtIndex:", index, [self count]);
  return items_of(self)[index];
}

- (id)objectAtIndexedSubscript:(NSUInteger)index {
  return [self objectAtIndex:index];
}

- (id)firstObject {
  return [self count] == 0 ? nil : items_of(self).front();
}

- (id)lastObject {
  return [self count] == 0 ? nil : items_of(self).back();
}

- (BOOL)isEqual:(id)other {
  if (![other isKindOfClass:[NSArray class]] || [other count] != [self count]) return NO;
  for (NSUInteger index = 0; index < [self count]; ++index) {
    if (![items_of(self)[index] isEqual:[other objectAtIndex:index]]) return NO;
  }
  return YES;
}

- (NSUInteger)hash {
  return [self count];
}

- (NSUInteger)countByEnumeratingWithState:(NSFastEnumerationState*)state objects:(id*)buffer count:(NSUInteger)length {
  return enumerate(state, items_of(self));
}

- (id)valueForKey:(NSString*)key {
  NSArray* made = [NSArray array];
  for (id item : items_of(self)) items_of(made).push_back([[item valueForKey:key] retain]);
  return made;
}

- (NSString*)componentsJoinedByString:(NSString*)separator {
  std::string text;
  for (NSUInteger index = 0; index < [self count]; ++index) {
    text += (index == 0 ? "" : [separator UTF8String]) + std::string([[items_of(self)[index] description] UTF8String]);
  }
  return [NSString stringWithUTF8String:text.c_str()];
}

- (NSString*)description {
  return [NSString stringWithFormat:@"(\n    %@\n)", [self componentsJoinedByString:@",\n    "]];
}

@end

@implementation NSMutableArray

+ (instancetype)arrayWithCapacity:(NSUInteger)capacity {
  NSMutableArray* made = [self array];
  items_of(made).reserve(capacity);
  return made;
}

- (instancetype)initWithCapacity:(NSUInteger)capacity {
  items_of(self).reserve(capacity);
  return self;
}

- (void)addObject:(id)object {
  items_of(self).push_back([object retain]);
}

- (void)setObject:(id)object atIndexedSubscript:(NSUInteger)index {
  if (index > [self count]) beyond("setObject:atIndexedSubscript:", index, [self count]);
  if (index == [self count]) {
    [self addObject:object];
    return;
  }
  id before = items_of(self)[index];
  items_of(self)[index] = [object retain];
  [before release];
}

- (void)insertObject:(id)object atIndex:(NSUInteger)index {
  if (index > [self count]) beyond("insertObject:atIndex:", index, [self count]);
  items_of(self).insert(items_of(self).begin() + static_cast<std::ptrdiff_t>(index), [object retain]);
}

- (void)removeObjectAtIndex:(NSUInteger)index {
  id removed = [self objectAtIndex:index];
  items_of(self).erase(items_of(self).begin() + static_cast<std::ptrdiff_t>(index));
  [removed release];
}

- (void)removeLastObject {
  if ([self count] > 0) [self removeObjectAtIndex:[self count] - 1];
}

- (void)removeAllObjects {
  while ([self count] > 0) [self removeLastObject];
}

@end

@implementation NSDictionary

+ (instancetype)alloc {
  NSDictionary* made = [super alloc];
  made->items_ = new Table;
  return made;
}

+ (instancetype)dictionary {
  return [[self alloc] autorelease];
}

+ (instancetype)dictionaryWithObjects:(const id*)objects forKeys:(const id<NSCopying>*)keys count:(NSUInteger)count {
  NSDictionary* made = [self dictionary];
  for (NSUInteger index = 0; index < count; ++index) {
    id key = [(id)keys[index] copy];
    table_of(made).keys.push_back(key);
    table_of(made).values[key] = [objects[index] retain];
  }
  return made;
}

- (void)dealloc {
  for (auto& [key, value] : table_of(self).values) [value release];
  Items keys = table_of(self).keys;
  delete &table_of(self);
  for (id key : keys) [key release];
  [super dealloc];
}

- (id)copyWithZone:(void*)zone {
  NSDictionary* made = [NSDictionary alloc];
  for (id key : table_of(self).keys) {
    table_of(made).keys.push_back([key retain]);
    table_of(made).values[key] = [table_of(self).values[key] retain];
  }
  return made;
}

- (NSUInteger)count {
  return table_of(self).keys.size();
}

- (id)objectForKey:(id)key {
  auto found = table_of(self).values.find(key);
  return found == table_of(self).values.end() ? nil : found->second;
}

- (id)objectForKeyedSubscript:(id)key {
  return [self objectForKey:key];
}

- (NSArray*)allKeys {
  return [NSArray arrayWithObjects:table_of(self).keys.data() count:[self count]];
}

- (NSArray*)allValues {
  NSMutableArray* made = [NSMutableArray array];
  for (id key : table_of(self).keys) [made addObject:table_of(self).values[key]];
  return made;
}

- (NSUInteger)countByEnumeratingWithState:(NSFastEnumerationState*)state objects:(id*)buffer count:(NSUInteger)length {
  return enumerate(state, table_of(self).keys);
}

@end

@implementation NSMutableDictionary

+ (instancetype)dictionaryWithCapacity:(NSUInteger)capacity {
  return [self dictionary];
}

- (instancetype)initWithCapacity:(NSUInteger)capacity {
  return self;
}

- (void)setObject:(id)object forKey:(id<NSCopying>)key {
  Table& table = table_of(self);
  auto found = table.values.find((id)key);
  if (found == table.values.end()) {
    id kept = [(id)key copy];
    table.keys.push_back(kept);
    table.values[kept] = [object retain];
  } else {
    id before = found->second;
    found->second = [object retain];
    [before release];
  }
}

- (void)setObject:(id)object forKeyedSubscript:(id<NSCopying>)key {
  [self setObject:object forKey:key];
}

- (void)removeObjectForKey:(id)key {
  Table& table = table_of(self);
  auto found = table.values.find(key);
  if (found == table.values.end()) return;
  id kept = found->first, value = found->second;
  table.values.erase(found);
  std::erase(table.keys, kept);
  [value release];
  [kept release];
}

- (void)removeAllObjects {
  while ([self count] > 0) [self removeObjectForKey:table_of(self).keys.back()];
}

@end
