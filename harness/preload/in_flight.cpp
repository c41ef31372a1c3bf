// A library that is preloaded into a Python process before ThreadSanitizer's runtime, of whose weak functions it replaces
// three: one names the frames that the glue puts into stacks; one is called for every report that was printed and writes
// what the threads in it were doing, as one JSON line, to $MPS_STRESS_TSAN_IN_FLIGHT.<pid>; one is called before memory is
// freed: whoever frees a block comes after all who released it, which they do when they put down a reference to it. Both
// halves of torch's reference counts are needed for that, and one is in libtorch, where nothing is instrumented.
//
// Never instrumented, and inside the callback without any function of libc that the runtime intercepts: the runtime holds
// its locks there. Compiled with -fno-builtin, so that no loop becomes a call of memcpy.
#include "in_flight.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

extern "C" {
extern char** environ;
int __tsan_get_report_data(void* report, const char** description, int* count, int* stack_count, int* mop_count,
                           int* loc_count, int* mutex_count, int* thread_count, int* unique_tid_count,
                           void** sleep_trace, unsigned long trace_size);
int __tsan_get_report_mop(void* report, unsigned long index, int* tid, void** address, int* size, int* write,
                          int* atomic, void** trace, unsigned long trace_size);
int __tsan_get_report_thread(void* report, unsigned long index, int* tid, uint64_t* os_id, int* running,
                             const char** name, int* parent_tid, void** trace, unsigned long trace_size);
void __tsan_func_entry(void* pc);
void __tsan_func_exit();
void __tsan_read_range(void* begin, unsigned long bytes);
void __tsan_write_range(void* begin, unsigned long bytes);
void __tsan_acquire(void* address);
}

namespace {

constexpr int kThreadsMax = 4096;
constexpr uint64_t kAccesses = 1024;  // Kept per stream: some hundred kernels.
constexpr size_t kLineMax = 2048;

struct Work {
  const char* operation = nullptr;
  int stream = -1;
  int thread = -1;
  int64_t iteration = -1;
};

struct Access {
  uintptr_t begin, end;
  int is_write;
  Work work;
};

struct Thread {  // Written by that thread alone; read while it goes on, which may tear a line and nothing else.
  int os_id;
  Work work;
  uint64_t accesses;
  Access* ring;
};

Thread* threads[kThreadsMax];
int thread_count = 0;
const char* file_prefix = nullptr;

[[gnu::tls_model("initial-exec")]] thread_local Thread* self = nullptr;

void* memory_of_our_own(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

Thread* this_thread() {
  if (self != nullptr) return self;
  int index = __atomic_load_n(&thread_count, __ATOMIC_RELAXED);
  if (index >= kThreadsMax) return nullptr;
  auto* made = static_cast<Thread*>(memory_of_our_own(sizeof(Thread)));
  index = __atomic_fetch_add(&thread_count, 1, __ATOMIC_RELAXED);
  if (made == nullptr || index >= kThreadsMax) return nullptr;
  made->os_id = static_cast<int>(syscall(SYS_gettid));
  made->work = Work{};
  __atomic_store_n(&threads[index], made, __ATOMIC_RELEASE);
  return self = made;
}

Thread* thread_with(int os_id) {  // The newest: the system uses numbers again.
  int count = __atomic_load_n(&thread_count, __ATOMIC_RELAXED);
  for (int index = (count < kThreadsMax ? count : kThreadsMax) - 1; index >= 0; --index) {
    Thread* thread = __atomic_load_n(&threads[index], __ATOMIC_ACQUIRE);
    if (thread != nullptr && thread->os_id == os_id) return thread;
  }
  return nullptr;
}

void keep_access(Thread& own, const void* begin, size_t bytes, int is_write) {
  if (own.ring == nullptr) own.ring = static_cast<Access*>(memory_of_our_own(kAccesses * sizeof(Access)));
  if (own.ring == nullptr) return;
  Access& access = own.ring[own.accesses % kAccesses];
  access.begin = reinterpret_cast<uintptr_t>(begin);
  access.end = access.begin + bytes;
  access.is_write = is_write;
  access.work.operation = own.work.operation;
  access.work.stream = own.work.stream;
  access.work.thread = own.work.thread;
  access.work.iteration = own.work.iteration;
  __atomic_store_n(&own.accesses, own.accesses + 1, __ATOMIC_RELEASE);
}

// The last kernel of the thread that announced this access; null where none did.
const Work* kernel_with(const Thread& thread, uintptr_t address, int is_write) {
  if (thread.ring == nullptr) return nullptr;
  for (uint64_t back = 1; back <= kAccesses && back <= thread.accesses; ++back) {
    const Access& access = thread.ring[(thread.accesses - back) % kAccesses];
    if (access.is_write == is_write && access.begin <= address && address < access.end) return &access.work;
  }
  return nullptr;
}

class Line {
 public:
  Line& text(const char* text) {
    while (*text != '\0' && used_ < kLineMax) buffer_[used_++] = *text++;
    return *this;
  }
  Line& number(int64_t value) {
    char digits[24];
    int count = 0;
    uint64_t rest = value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
    do {
      digits[count++] = static_cast<char>('0' + rest % 10);
      rest /= 10;
    } while (rest > 0);
    if (value < 0) text("-");
    while (count > 0 && used_ < kLineMax) buffer_[used_++] = digits[--count];
    return *this;
  }
  void write_to(int file) const {
    if (syscall(SYS_write, file, buffer_, used_) < 0) return;
  }

 private:
  char buffer_[kLineMax];
  size_t used_ = 0;
};

int open_file() {
  char path[kLineMax];
  size_t used = 0;
  for (const char* from = file_prefix; *from != '\0' && used < kLineMax - 16; ++from) path[used++] = *from;
  path[used++] = '.';
  char digits[16];
  int count = 0;
  for (long rest = syscall(SYS_getpid); rest > 0; rest /= 10) digits[count++] = static_cast<char>('0' + rest % 10);
  while (count > 0) path[used++] = digits[--count];
  path[used] = '\0';
  return static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
}

int os_id_of(void* report, int threads_in_report, int wanted) {
  for (int index = 0; index < threads_in_report; ++index) {
    int tid = -1, running = 0, parent = -1;
    uint64_t os_id = 0;
    const char* name = nullptr;
    void* trace[1];
    __tsan_get_report_thread(report, static_cast<unsigned long>(index), &tid, &os_id, &running, &name, &parent, trace, 1);
    if (tid == wanted) return static_cast<int>(os_id);
  }
  return 0;
}

void put_access(Line& line, void* report, int threads_in_report, int index) {
  int tid = -1, size = 0, is_write = 0, is_atomic = 0;
  void* address = nullptr;
  void* trace[1];
  __tsan_get_report_mop(report, static_cast<unsigned long>(index), &tid, &address, &size, &is_write, &is_atomic, trace, 1);
  const int os_id = os_id_of(report, threads_in_report, tid);
  const Thread* thread = os_id != 0 ? thread_with(os_id) : nullptr;
  const Work* work = nullptr;
  bool is_kernel = false;
  if (thread != nullptr) {
    work = kernel_with(*thread, reinterpret_cast<uintptr_t>(address), is_write);
    is_kernel = work != nullptr;
    if (work == nullptr) work = &thread->work;
  }
  line.text(index > 0 ? ",{\"address\":" : "{\"address\":").number(static_cast<int64_t>(reinterpret_cast<uintptr_t>(address)));
  line.text(",\"write\":").text(is_write ? "true" : "false").text(",\"tid\":").number(os_id);
  if (work != nullptr) {
    line.text(",\"kernel\":").text(is_kernel ? "true" : "false");
    if (work->operation != nullptr) line.text(",\"operation\":\"").text(work->operation).text("\"");
    if (work->stream >= 0) line.text(",\"stream\":").number(work->stream);
    if (work->thread >= 0) line.text(",\"thread\":").number(work->thread).text(",\"iteration\":").number(work->iteration);
  }
  line.text("}");
}

[[gnu::constructor]] void find_file() {
  static const char kName[] = "MPS_STRESS_TSAN_IN_FLIGHT=";
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const char *text = *entry, *name = kName;
    while (*name != '\0' && *text == *name) ++text, ++name;
    if (*name == '\0') file_prefix = text;
  }
}

}  // namespace

extern "C" {

void mps_stress_in_flight_step(int thread, int64_t iteration) {
  if (Thread* own = this_thread()) {
    own->work.thread = thread;
    own->work.iteration = iteration;
  }
}

void mps_stress_in_flight_kernel(const char* operation, int stream, int thread, int64_t iteration) {
  if (Thread* own = this_thread()) {
    own->work.operation = operation;
    own->work.stream = stream;
    own->work.thread = thread;
    own->work.iteration = iteration;
  }
}

// The uppermost frames of such an access: this function, then the operation, so that a report is named after it.
void mps_stress_in_flight_access(const void* begin, size_t bytes, int is_write) {
  if (Thread* own = this_thread()) keep_access(*own, begin, bytes, is_write);
  const char* operation = self != nullptr ? self->work.operation : nullptr;
  if (operation != nullptr) __tsan_func_entry(reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(operation) | mps_sim::kNamedFrame));
  (is_write ? __tsan_write_range : __tsan_read_range)(const_cast<void*>(begin), bytes);
  if (operation != nullptr) __tsan_func_exit();
}
// The next three replace the runtime's own; their types are those of its interface.
void __sanitizer_free_hook(const volatile void* block) { __tsan_acquire(const_cast<void*>(block)); }

void __tsan_symbolize_external_ex(uintptr_t pc, void (*add_frame)(void*, const char*, const char*, int, int),
                                  void* context) {
  const auto* name = reinterpret_cast<const char*>(pc & (mps_sim::kNamedFrameOfCall - 1));
  add_frame(context, name, (pc & mps_sim::kNamedFrameOfCall) != 0 ? "torch.call" : "on-device.kernel", 0, 0);
}

void __tsan_on_report(void* report) {
  if (file_prefix == nullptr) return;
  const char* description = nullptr;
  int count = 0, stacks = 0, mops = 0, locations = 0, mutexes = 0, threads_in_report = 0, unique_tids = 0;
  void* trace[1];
  __tsan_get_report_data(report, &description, &count, &stacks, &mops, &locations, &mutexes, &threads_in_report,
                         &unique_tids, trace, 1);
  static int file = -1, opened_by = 0;  // A forked child has a file of its own.
  const int own = static_cast<int>(syscall(SYS_getpid));
  if (opened_by != own) file = open_file();
  opened_by = own;
  Line line;
  line.text("{\"accesses\":[");
  for (int index = 0; index < mops; ++index) put_access(line, report, threads_in_report, index);
  line.text("]}\n").write_to(file);
}
}
