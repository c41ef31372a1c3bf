// PyTorch's Objective-C++ sources are compiled for the ObjFW runtime: for GCC's, clang reads `array[i]` as pointer arithmetic.
// The tables that the compiler writes are those of GCC's runtime but for two numbers, which GCC's runtime would refuse; they
// are set here, before it sees them. Link with -Wl,--wrap=__objc_exec_class.
#include <cstddef>
#include <cstdint>

extern "C" void __real___objc_exec_class(void* module);

namespace {

constexpr unsigned long kModuleOfObjfw = 9, kModuleOfGcc = 8;
constexpr intptr_t kProtocolOfObjfw = 3, kProtocolOfGcc = 2;

struct ProtocolList;

struct Protocol {
  intptr_t version;
  const char* name;
  ProtocolList* inherited;
  void* rest;
};

struct ProtocolList {
  ProtocolList* next;
  size_t count;
  Protocol* items[1];
};

struct Class {
  void *isa, *super;
  const char* name;
  unsigned long version, info, size;
  void *variables, *methods, *dispatch, *subclasses, *siblings;
  ProtocolList* protocols;
};

struct Category {
  const char *name, *of;
  void *methods, *class_methods;
  ProtocolList* protocols;
};

struct SymbolTable {
  unsigned long selectors;
  void* references;
  unsigned short classes, categories;
  void* definitions[1];
};

struct Module {
  unsigned long version, size;
  const char* name;
  SymbolTable* symbols;
};

void convert(ProtocolList* list);

void convert(Protocol* one) {
  if (one->version != kProtocolOfObjfw) return;
  one->version = kProtocolOfGcc;
  convert(one->inherited);
}

void convert(ProtocolList* list) {
  for (; list != nullptr; list = list->next) {
    for (size_t index = 0; index < list->count; ++index) convert(list->items[index]);
  }
}

}  // namespace

extern "C" void __wrap___objc_exec_class(void* given) {
  Module* module = static_cast<Module*>(given);
  if (module->version == kModuleOfObjfw) {
    module->version = kModuleOfGcc;
    if (SymbolTable* symbols = module->symbols) {
      for (int one = 0; one < symbols->classes; ++one) convert(static_cast<Class*>(symbols->definitions[one])->protocols);
      for (int one = 0; one < symbols->categories; ++one) {
        convert(static_cast<Category*>(symbols->definitions[symbols->classes + one])->protocols);
      }
    }
  }
  __real___objc_exec_class(given);
}

// For both runtimes clang gives Objective-C++ functions a personality that catches no C++ exception, and PyTorch's sources have
// to catch some (dispatch_sync_with_rethrow). The tables that it goes with are C++'s all the same, and nothing here throws
// Objective-C's, so C++'s own personality reads them. Hidden: each library has its own.
extern "C" int __gxx_personality_v0(int, int, uint64_t, void*, void*);
extern "C" __attribute__((visibility("hidden"))) int __gnu_objc_personality_v0(int version, int actions, uint64_t kind, void* exception,
                                                                                void* context) {
  return __gxx_personality_v0(version, actions, kind, exception, context);
}
