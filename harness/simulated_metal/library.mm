// Libraries, functions and pipeline states. A shader's body is a function of the host that is registered by name; what a library
// has is read from its text.
#include <algorithm>
#include <cctype>

#include "kernels.h"
#include "objects.h"

namespace {

bool is_of_word(char letter) { return std::isalnum(static_cast<unsigned char>(letter)) || letter == '_'; }

// Whether the text has the name as a word of its own.
bool has_word(const std::string& text, const std::string& name) {
  for (size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + 1)) {
    size_t end = at + name.size();
    if ((at == 0 || !is_of_word(text[at - 1])) && (end == text.size() || !is_of_word(text[end]))) return true;
  }
  return false;
}

// Read at each dispatch, without a lock that would order those who dispatch; a change replaces the whole.
using Kernels = std::map<std::string, simulated::HostKernel>;

struct KernelTable {
  std::mutex changing;
  std::atomic<const Kernels*> bodies{new Kernels};
};

KernelTable& kernels() {
  static KernelTable* const all = new KernelTable;
  return *all;
}

}  // namespace

namespace simulated {

void define_kernel(const std::string& name, HostKernel body) {
  std::lock_guard<std::mutex> guard(kernels().changing);
  auto* changed = new Kernels(*kernels().bodies.load(std::memory_order_acquire));
  (*changed)[name] = std::move(body);
  kernels().bodies.store(changed, std::memory_order_release);  // The one before may still be read: it stays.
}

HostKernel find_kernel(const std::string& name) {
  const Kernels& bodies = *kernels().bodies.load(std::memory_order_acquire);
  auto found = bodies.find(name);
  if (found == bodies.end()) mps_sim::not_simulated("the Metal function " + name + " (a dispatch of it)");
  return found->second;
}

}  // namespace simulated

@implementation SimulatedLibrary

- (void)dealloc {
  delete source_;
  [super dealloc];
}

- (id<MTLFunction>)newFunctionWithName:(NSString*)name {
  if (!is_bundle_ && !has_word(*source_, [name UTF8String])) return nil;
  SimulatedFunction* made = [SimulatedFunction alloc];
  made->name_ = new std::string([name UTF8String]);
  made->source_ = new std::string(*source_);
  return made;
}

- (id<MTLDevice>)device {
  return MTLCreateSystemDefaultDevice();
}

@end

@implementation SimulatedFunction

- (void)dealloc {
  delete name_;
  delete source_;
  [super dealloc];
}

- (NSString*)name {
  return [NSString stringWithUTF8String:name_->c_str()];
}

@end

@implementation SimulatedPipelineState

- (void)dealloc {
  [function_ release];
  [super dealloc];
}

// clang-format off
- (NSUInteger)maxTotalThreadsPerThreadgroup { return 1024; }
- (NSUInteger)threadExecutionWidth { return 32; }
- (NSUInteger)staticThreadgroupMemoryLength { return 0; }
- (NSString*)label { return [function_ name]; }
// clang-format on

@end

@implementation MTLCompileOptions
@synthesize mathMode = _mode, mathFloatingPointFunctions = _functions, languageVersion = _version, fastMathEnabled = _fast;
@end
