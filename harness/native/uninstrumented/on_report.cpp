// Writes every report as one line of JSON to the file that $MPS_STRESS_TSAN_JSON names; does nothing when unset.
//
// The runtime calls __tsan_on_report after it has printed a report that no suppression matched. It holds its report
// lock meanwhile, so that calls never overlap and static buffers do, and ignores interceptors, so that nothing here is
// checked. This file must not be instrumented, and must not allocate: the report may be about malloc in a signal handler.
//
// The same object links into a program without ThreadSanitizer, where it is never called. `stress/diagnose/tsan/json_lines.py`
// reads the lines; `stress/diagnose/tsan/report.py` says what they mean.

#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

using DataFunction = int(void*, const char**, int*, int*, int*, int*, int*, int*, int*, void**, uintptr_t);
using StackFunction = int(void*, uintptr_t, void**, uintptr_t);
using AccessFunction = int(void*, uintptr_t, int*, void**, int*, int*, int*, void**, uintptr_t);
using LocationFunction = int(void*, uintptr_t, const char**, void**, uintptr_t*, uintptr_t*, int*, int*, int*, void**, uintptr_t);
using ObjectTypeFunction = int(void*, uintptr_t, const char**);
using MutexFunction = int(void*, uintptr_t, uintptr_t*, void**, int*, void**, uintptr_t);
using ThreadFunction = int(void*, uintptr_t, int*, unsigned long long*, int*, const char**, int*, void**, uintptr_t);
using UniqueThreadFunction = int(void*, uintptr_t, int*);
using SymbolizeFunction = void(void*, const char*, char*, size_t);

#ifndef __APPLE__
extern "C" {
#define WEAK __attribute__((weak))
WEAK DataFunction __tsan_get_report_data;
WEAK StackFunction __tsan_get_report_stack;
WEAK AccessFunction __tsan_get_report_mop;
WEAK LocationFunction __tsan_get_report_loc;
WEAK ObjectTypeFunction __tsan_get_report_loc_object_type;
WEAK MutexFunction __tsan_get_report_mutex;
WEAK ThreadFunction __tsan_get_report_thread;
WEAK UniqueThreadFunction __tsan_get_report_unique_tid;
WEAK SymbolizeFunction __sanitizer_symbolize_pc;
WEAK SymbolizeFunction __sanitizer_symbolize_global;
}
#endif

namespace {

constexpr size_t kLineBytes = 1024 * 1024;
constexpr size_t kFramesEnd = kLineBytes - 256 * 1024;  // No frame begins beyond: the rest of the line must fit.
constexpr size_t kTextBytesMax = 4096;
constexpr size_t kFrames = 512;
constexpr int kMainThread = 0;

struct Api {
  DataFunction* data;
  StackFunction* stack;
  AccessFunction* access;
  LocationFunction* location;
  ObjectTypeFunction* object_type;
  MutexFunction* mutex;
  ThreadFunction* thread;
  UniqueThreadFunction* unique_thread;
  SymbolizeFunction* symbolize;
  SymbolizeFunction* symbolize_global;
};

Api api;
int file = -1;
void* trace[kFrames];
char symbols[64 * 1024];

// On a Mac the runtime is a library, and a weak reference to it would need that library; on Linux it is linked in
// statically, and most of these functions are not in the dynamic symbol table.
#ifdef __APPLE__
#define LOOK_UP(function, name) (api.function = reinterpret_cast<decltype(api.function)>(dlsym(RTLD_DEFAULT, #name)))
#else
#define LOOK_UP(function, name) (api.function = name)
#endif

bool look_up_all() {
  LOOK_UP(object_type, __tsan_get_report_loc_object_type);  // Younger than the others.
  return LOOK_UP(data, __tsan_get_report_data) != nullptr && LOOK_UP(stack, __tsan_get_report_stack) != nullptr &&
         LOOK_UP(access, __tsan_get_report_mop) != nullptr && LOOK_UP(location, __tsan_get_report_loc) != nullptr &&
         LOOK_UP(mutex, __tsan_get_report_mutex) != nullptr && LOOK_UP(thread, __tsan_get_report_thread) != nullptr &&
         LOOK_UP(unique_thread, __tsan_get_report_unique_tid) != nullptr &&
         LOOK_UP(symbolize, __sanitizer_symbolize_pc) != nullptr &&
         LOOK_UP(symbolize_global, __sanitizer_symbolize_global) != nullptr;
}

__attribute__((constructor)) void open_file() {
  const char* path = getenv("MPS_STRESS_TSAN_JSON");
  if (path == nullptr || *path == '\0') return;
  if (look_up_all()) file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

// One line of JSON. A value knows whether a comma goes before it.
class Line {
 public:
  void start() { used_ = 0, comma_ = false; }
  bool has_room_for_frame() const { return used_ < kFramesEnd; }

  void open(const char* key, char bracket) {
    name(key);
    put(bracket);
    comma_ = false;
  }
  void close(char bracket) {
    put(bracket);
    comma_ = true;
  }
  void number(const char* key, uint64_t value) {
    name(key);
    char digits[24];
    size_t at = sizeof digits;
    do digits[--at] = static_cast<char>('0' + value % 10);
    while ((value /= 10) != 0);
    while (at < sizeof digits) put(digits[at++]);
  }
  void flag(const char* key, bool value) {
    if (!value) return;
    name(key);
    for (const char* one = "true"; *one != '\0'; ++one) put(*one);
  }
  void text(const char* key, const char* value, size_t bytes) {
    name(key);
    put('"');
    for (size_t at = 0; at < bytes && at < kTextBytesMax; ++at) escape(static_cast<unsigned char>(value[at]));
    put('"');
  }
  void text(const char* key, const char* value) { text(key, value, strlen(value)); }

  void write() {
    put('\n');
    (void)!::write(file, bytes_, used_);
  }

 private:
  void name(const char* key) {
    if (comma_) put(',');
    comma_ = true;
    if (key == nullptr) return;
    put('"');
    while (*key != '\0') put(*key++);
    put('"');
    put(':');
  }
  void escape(unsigned char one) {
    constexpr const char* kHex = "0123456789abcdef";
    if (one == '"' || one == '\\') put('\\');
    if (one >= 0x20) return put(static_cast<char>(one));
    for (char each : {'\\', 'u', '0', '0', kHex[one >> 4], kHex[one & 15]}) put(each);
  }
  void put(char one) {
    if (used_ < kLineBytes) bytes_[used_++] = one;
  }

  char bytes_[kLineBytes];
  size_t used_ = 0;
  bool comma_ = false;
};

Line line;

uint64_t number_of(const void* address) { return reinterpret_cast<uintptr_t>(address); }

size_t depth() {
  size_t frames = 0;
  while (frames < kFrames && trace[frames] != nullptr) ++frames;
  return frames;
}

// Writes one symbolized frame, "function\x1f file\x1f line\x1f column\x1f module\x1f offset"; what is unknown is left out.
void write_frame(const char* symbol) {
  line.open(nullptr, '{');
  const char* const keys[] = {"function", "file", "line", "column", "module", "offset"};
  for (int field = 0; field < 6; ++field) {
    size_t bytes = strcspn(symbol, "\x1f");
    bool unknown = bytes == 0 || strncmp(symbol, "<null>", 6) == 0 || strncmp(symbol, "??", 2) == 0;
    if (!unknown && field < 2) line.text(keys[field], symbol, bytes);
    if (!unknown && field == 4) {
      const char* base = symbol;
      for (const char* at = symbol; at < symbol + bytes; ++at) {
        if (*at == '/') base = at + 1;
      }
      line.text(keys[field], base, static_cast<size_t>(symbol + bytes - base));
    }
    if (field == 2 || field == 3 || field == 5) {
      uint64_t value = strtoull(symbol, nullptr, field == 5 ? 16 : 10);
      if (value != 0) line.number(keys[field], value);
    }
    symbol += bytes;
    if (*symbol == '\x1f') ++symbol;
  }
  line.close('}');
}

// The trace has an entry for every frame, inlined ones too, which share the address of the frame they are in; to
// symbolize an address gives them all. Recursion repeats an address as well, so entries are counted.
void write_frames() {
  size_t frames = depth();
  line.open("frames", '[');
  for (size_t at = 0; at < frames && line.has_room_for_frame();) {
    size_t same = 1;
    while (at + same < frames && trace[at + same] == trace[at]) ++same;
    memset(symbols, 0, 2);
    api.symbolize(trace[at], "%f\x1f%s\x1f%l\x1f%c\x1f%m\x1f%o", symbols, sizeof symbols - 2);
    size_t written = 0;
    while (written < same) {
      const char* symbol = symbols;
      if (*symbol == '\0') break;
      for (; *symbol != '\0' && written < same && line.has_room_for_frame(); symbol += strlen(symbol) + 1, ++written) write_frame(symbol);
      if (!line.has_room_for_frame()) break;
    }
    at += same;
  }
  line.close(']');
}

void write_mutex_name(const char* key, uintptr_t id) {
  char name[24] = {};
  size_t at = sizeof name - 1;
  do name[--at] = static_cast<char>('0' + id % 10);
  while ((id /= 10) != 0);
  name[--at] = 'M';
  line.text(key, name + at, sizeof name - 1 - at);
}

uintptr_t mutex_id(void* report, int index) {
  uintptr_t id = 0;
  void* address = nullptr;
  int destroyed = 0;
  api.mutex(report, static_cast<uintptr_t>(index), &id, &address, &destroyed, trace, 0);
  return id;
}

struct Counts {
  int stacks, accesses, locations, mutexes, threads, unique_threads;
};

void write_stacks(void* report, const Counts& counts, bool cycle) {
  // With second_deadlock_stack=1 each edge of the cycle has two: where it locks, and where it locked what it holds.
  int per_edge = cycle && counts.stacks > counts.mutexes ? 2 : 1;
  for (int index = 0; index < counts.stacks; ++index) {
    memset(trace, 0, sizeof trace);
    api.stack(report, static_cast<uintptr_t>(index), trace, kFrames);
    line.open(nullptr, '{');
    if (cycle && counts.mutexes > 0) {
      int edge = index / per_edge;
      bool held = index % per_edge == 1;
      int thread = 0;
      api.unique_thread(report, static_cast<uintptr_t>(edge), &thread);
      line.text("kind", held ? "held" : "lock");
      line.number("thread", static_cast<uint64_t>(thread));
      write_mutex_name("mutex", mutex_id(report, held ? edge : (edge + 1) % counts.mutexes));
      if (!held) write_mutex_name("holding", mutex_id(report, edge));
      memset(trace, 0, sizeof trace);
      api.stack(report, static_cast<uintptr_t>(index), trace, kFrames);
    } else {
      line.text("kind", "event");
    }
    line.flag("lost", trace[0] == nullptr);
    write_frames();
    line.close('}');
  }
}

void write_accesses(void* report, const Counts& counts) {
  for (int index = 0; index < counts.accesses; ++index) {
    int thread = 0, size = 0, write = 0, atomic = 0;
    void* address = nullptr;
    memset(trace, 0, sizeof trace);
    api.access(report, static_cast<uintptr_t>(index), &thread, &address, &size, &write, &atomic, trace, kFrames);
    line.open(nullptr, '{');
    line.text("kind", "access");
    line.number("thread", static_cast<uint64_t>(thread));
    line.open("access", '{');
    line.number("address", number_of(address));
    line.number("size", static_cast<uint64_t>(size));
    line.flag("write", write != 0);
    line.flag("atomic", atomic != 0);
    line.flag("previous", index > 0);
    line.close('}');
    line.flag("lost", trace[0] == nullptr);
    write_frames();
    line.close('}');
  }
}

void write_global(void* address) {
  line.number("address", number_of(address));
  memset(symbols, 0, 2);
  api.symbolize_global(address, "%g", symbols, sizeof symbols - 2);
  if (*symbols != '\0' && strcmp(symbols, "??") != 0 && strcmp(symbols, "<null>") != 0) line.text("name", symbols);
}

void write_locations(void* report, const Counts& counts) {
  for (int index = 0; index < counts.locations; ++index) {
    const char* kind = nullptr;
    const char* object = nullptr;
    void* global = nullptr;
    uintptr_t start = 0, size = 0;
    int thread = 0, fd = 0, suppressable = 0;
    auto at = static_cast<uintptr_t>(index);
    memset(trace, 0, sizeof trace);
    api.location(report, at, &kind, &global, &start, &size, &thread, &fd, &suppressable, trace, kFrames);
    if (kind == nullptr) continue;
    line.open(nullptr, '{');
    line.text("kind", kind);
    bool is_global = strcmp(kind, "global") == 0, is_heap = strcmp(kind, "heap") == 0, is_fd = strcmp(kind, "fd") == 0;
    if (is_global) write_global(global);
    if (is_heap) {
      line.number("address", start);
      line.number("size", size);
      if (api.object_type != nullptr) api.object_type(report, at, &object);
      if (object != nullptr && *object != '\0') line.text("object_type", object);
    }
    if (!is_global) line.number("thread", static_cast<uint64_t>(thread));
    if (is_fd) line.number("fd", static_cast<uint64_t>(fd));
    if (is_heap || is_fd) write_frames();
    line.close('}');
  }
}

void write_mutexes(void* report, const Counts& counts, bool cycle) {
  for (int index = 0; index < counts.mutexes; ++index) {
    uintptr_t id = 0;
    void* address = nullptr;
    int destroyed = 0;
    memset(trace, 0, sizeof trace);
    api.mutex(report, static_cast<uintptr_t>(index), &id, &address, &destroyed, trace, kFrames);
    line.open(nullptr, '{');
    write_mutex_name("id", id);
    line.number("address", number_of(address));
    line.flag("destroyed", destroyed != 0);
    if (!cycle) write_frames();
    line.close('}');
  }
}

void write_threads(void* report, const Counts& counts) {
  for (int index = 0; index < counts.threads; ++index) {
    int id = 0, running = 0, parent = 0;
    unsigned long long tid = 0;
    const char* name = nullptr;
    memset(trace, 0, sizeof trace);
    api.thread(report, static_cast<uintptr_t>(index), &id, &tid, &running, &name, &parent, trace, kFrames);
    if (id == kMainThread) continue;
    line.open(nullptr, '{');
    line.number("id", static_cast<uint64_t>(id));
    line.number("tid", tid);
    if (name != nullptr && *name != '\0') line.text("name", name);
    line.flag("running", running != 0);
    line.number("parent", static_cast<uint64_t>(parent));
    write_frames();
    line.close('}');
  }
}

}  // namespace

extern "C" void __tsan_on_report(void* report) {
  if (file < 0) return;
  const char* kind = nullptr;
  int count = 0;
  Counts counts{};
  void* sleep[kFrames] = {};
  api.data(report, &kind, &count, &counts.stacks, &counts.accesses, &counts.locations, &counts.mutexes, &counts.threads,
           &counts.unique_threads, sleep, kFrames);
  if (kind == nullptr) return;
  bool cycle = strcmp(kind, "lock-order-inversion") == 0;
  line.start();
  line.open(nullptr, '{');
  line.number("v", 1);
  line.text("kind", kind);
  line.number("pid", static_cast<uint64_t>(getpid()));
  line.open("stacks", '[');
  write_stacks(report, counts, cycle);
  write_accesses(report, counts);
  if (sleep[0] != nullptr) {
    memcpy(trace, sleep, sizeof trace);
    line.open(nullptr, '{');
    line.text("kind", "sleep");
    write_frames();
    line.close('}');
  }
  line.close(']');
  line.open("locations", '[');
  write_locations(report, counts);
  line.close(']');
  line.open("mutexes", '[');
  write_mutexes(report, counts, cycle);
  line.close(']');
  line.open("threads", '[');
  write_threads(report, counts);
  line.close(']');
  if (strcmp(kind, "thread-leak") == 0 && count > 1) line.number("similar", static_cast<uint64_t>(count - 1));
  line.close('}');
  line.write();
}
