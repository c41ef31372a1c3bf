#include "compiler.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "runtime/assertions.h"
#include "runtime/random.h"
#include "simulated_metal/unordered_lock.h"

extern "C" char** environ;

namespace metal_shaders {

using metal_abi::Library;

namespace {

constexpr const char* kVariable = "MPS_STRESS_SHADERS";
constexpr int kNotCarried = 3;  // The compiler's exit status where the text has what is not carried.

// The folder of the library or program that this code is in.
std::string own_folder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&own_folder), &info) == 0 || info.dli_fname == nullptr) return ".";
  std::string path = info.dli_fname;
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

const std::string& runtime_folder() {
  static const std::string* const folder = [] {
    const char* given = getenv(kVariable);
    return new std::string(given != nullptr && *given != '\0' ? given : own_folder() + "/shaders/runtime");
  }();
  return *folder;
}

bool exists(const std::string& path) { return access(path.c_str(), R_OK) == 0; }

// Ours, without what is preloaded: a child would load torch again, which takes longer than to compile.
std::vector<char*> child_environment() {
  std::vector<char*> kept;
  for (char** one = environ; *one != nullptr; ++one) {
    if (strncmp(*one, "LD_PRELOAD=", 11) != 0) kept.push_back(*one);
  }
  kept.push_back(nullptr);
  return kept;
}

struct Said {
  int status = -1;  // 127 where the program did not start.
  std::string output;
};

Said run_program(const std::vector<std::string>& words) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return {};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  std::vector<char*> arguments, variables = child_environment();
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  pid_t child = 0;
  int problem = posix_spawn(&child, arguments[0], &actions, nullptr, arguments.data(), variables.data());
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  Said said;
  if (problem != 0) {
    close(ends[0]);
    return {127, std::string(arguments[0]) + ": " + strerror(problem)};
  }
  char part[4096];
  for (;;) {
    ssize_t count = read(ends[0], part, sizeof part);
    if (count > 0) said.output.append(part, static_cast<size_t>(count));
    else if (count == 0 || errno != EINTR) break;
  }
  close(ends[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  said.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  return said;
}

std::string hash_of(const std::string& text) {
  uint64_t one = 1, other = 2;
  for (size_t at = 0; at < text.size(); at += 8) {
    uint64_t part = 0;
    memcpy(&part, text.data() + at, std::min<size_t>(8, text.size() - at));
    one = mps_sim::mix(one, part);
    other = mps_sim::mix(other, ~part);
  }
  char name[40];
  snprintf(name, sizeof name, "%016llx%016llx", static_cast<unsigned long long>(mps_sim::mix(one, text.size())),
           static_cast<unsigned long long>(other));
  return name;
}

bool write_file(const std::string& path, const std::string& text) {
  FILE* file = fopen(path.c_str(), "w");
  if (file == nullptr) return false;
  bool is_written = fwrite(text.data(), 1, text.size(), file) == text.size();
  return fclose(file) == 0 && is_written;
}

// Loaded for good, as Metal's libraries are kept by pipelines.
const Library* load(const std::string& path) {
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* reason = dlerror();
    mps_sim::not_simulated(std::string("a Metal library that does not load: ") + (reason == nullptr ? path : reason));
  }
  auto* library = static_cast<const Library*>(dlsym(handle, "metal_library"));
  if (library == nullptr || library->version != metal_abi::kVersion) {
    mps_sim::not_simulated("a Metal library of another version of mps-stress: " + path);
  }
  return library;
}

// A lock that no sanitizer takes for one: Metal's own order nobody that a tool could see, so the tree's races stay visible.
simulated::UnorderedLock& lock() {
  static auto* const all = new simulated::UnorderedLock;
  return *all;
}

std::map<std::string, const Library*>& known() {
  static auto* const all = new std::map<std::string, const Library*>;
  return *all;
}

Compiled loaded(const std::string& key, const std::string& path) {
  const Library* library = load(path);
  std::lock_guard<simulated::UnorderedLock> guard(lock());
  known()[key] = library;
  return {library, ""};
}

// Between threads and processes: one compiles a text, the others wait for it.
class FileLock {
 public:
  explicit FileLock(const std::string& path) : file_(open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600)) {
    while (file_ >= 0 && flock(file_, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  ~FileLock() {
    if (file_ >= 0) close(file_);
  }

 private:
  const int file_;
};

}  // namespace

Compiled compile(const std::string& source, int version) {
  std::string key = std::to_string(version) + "-" + hash_of(source);
  {
    std::lock_guard<simulated::UnorderedLock> guard(lock());
    auto found = known().find(key);
    if (found != known().end()) return {found->second, ""};
  }
  std::string base = runtime_folder() + "/" + key, target = base + ".so";
  if (!exists(target)) {
    FileLock one_at_a_time(base + ".lock");
    if (exists(target)) return loaded(key, target);
    if (!exists(runtime_folder() + "/compile")) {
      mps_sim::not_simulated("newLibraryWithSource: without a shader compiler: there is no " + runtime_folder() + "/compile (" + kVariable +
                             " names its folder)");
    }
    std::string text = base + "." + std::to_string(getpid()) + "-" + std::to_string(gettid()) + ".metal";
    if (!write_file(text, source)) mps_sim::not_simulated("a Metal library whose text cannot be written to " + text);
    Said said = run_program({runtime_folder() + "/compile", text, target, std::to_string(version)});
    unlink(text.c_str());
    while (!said.output.empty() && said.output.back() == '\n') said.output.pop_back();
    if (said.status == kNotCarried) mps_sim::not_simulated(said.output);
    if (said.status != 0) return {nullptr, said.output.empty() ? "the shader compiler ended with status " + std::to_string(said.status) : said.output};
  }
  return loaded(key, target);
}

std::vector<const Library*> bundled(const std::string& section) {
  std::string folder = own_folder() + "/shaders/" + section;
  std::vector<std::string> names;
  if (DIR* opened = opendir(folder.c_str())) {
    while (dirent* one = readdir(opened)) {
      std::string name = one->d_name;
      if (name.size() > 3 && name.compare(name.size() - 3, 3, ".so") == 0) names.push_back(name);
    }
    closedir(opened);
  }
  if (names.empty()) mps_sim::not_simulated("the bundled Metal library " + section + ": there is nothing in " + folder);
  std::sort(names.begin(), names.end());
  std::vector<const Library*> libraries;
  for (const std::string& name : names) libraries.push_back(load(folder + "/" + name));
  return libraries;
}

std::string source_line(const void* site) {
  Dl_info info;
  if (dladdr(site, &info) == 0 || !exists(runtime_folder() + "/symbolize")) return "";
  // The address before: that of a call is behind it.
  auto offset = reinterpret_cast<uintptr_t>(site) - 1 - reinterpret_cast<uintptr_t>(info.dli_fbase);
  char address[32];
  snprintf(address, sizeof address, "0x%llx", static_cast<unsigned long long>(offset));
  Said said = run_program({runtime_folder() + "/symbolize", info.dli_fname, address});
  if (said.status != 0) return "";
  // Inlined calls, the innermost first: the first that is not in the headers of ours is the shader's.
  std::string line;
  for (size_t begin = 0, end = 0; begin < said.output.size(); begin = end + 1) {
    end = std::min(said.output.find('\n', begin), said.output.size());
    line = said.output.substr(begin, end - begin);
    if (line.find("/metal_shaders/language/") == std::string::npos) break;
  }
  line.resize(std::min(line.size(), line.rfind(':')));  // Without the column.
  size_t slash = line.rfind('/');
  return slash == std::string::npos ? line : line.substr(slash + 1);
}

}  // namespace metal_shaders
