// What PyTorch's MPS sources call in macOS's C library.
#include <mach-o/getsect.h>
#include <os/log.h>
#include <os/signpost.h>
#include <simulated/macos.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <mutex>
#include <string>

#include "counters.h"
#include "options.h"

struct os_log_s {
  std::atomic<int> owners{1};
};

extern "C" {

vm_size_t vm_page_size = 16384;  // Apple silicon's.

uint64_t clock_gettime_nsec_np(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

int pthread_main_np(void) { return syscall(SYS_gettid) == getpid(); }

os_log_t os_log_create(const char*, const char*) { return new os_log_s; }

void os_release(void* object) {
  auto* log = static_cast<os_log_s*>(object);
  if (log->owners.fetch_sub(1, std::memory_order_acq_rel) == 1) delete log;
}

bool os_signpost_enabled(os_log_t) { return simulated::options().signposts; }

os_signpost_id_t os_signpost_id_generate(os_log_t) {
  static std::atomic<os_signpost_id_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

os_signpost_id_t os_signpost_id_make_with_pointer(os_log_t, const void* pointer) {
  return reinterpret_cast<os_signpost_id_t>(pointer);
}

// Nobody records them here; that they were sent is counted.
void simulated_signpost(os_log_t, os_signpost_id_t, const char*, const char*, ...) {
  simulated::count(simulated::counters.signposts);
}

// One Mach-O image, as if the program had nothing but itself. PyTorch looks in it for the shaders that it was built with:
// their section is there, and says which one it is.
uint32_t _dyld_image_count(void) { return 1; }

const char* _dyld_get_image_name(uint32_t) { return "/simulated/libtorch_cpu.dylib"; }

const mach_header* _dyld_get_image_header(uint32_t) {
  static mach_header header{0xfeedfacf};
  return &header;
}

uint8_t* getsectiondata(const mach_header_64*, const char*, const char* section, unsigned long* size) {
  static std::mutex* const mutex = new std::mutex;
  static auto* const names = new std::map<std::string, std::string>;
  std::lock_guard<std::mutex> guard(*mutex);
  std::string& kept = (*names)[section] = section;
  *size = kept.size();
  return reinterpret_cast<uint8_t*>(kept.data());
}

}  // extern "C"
