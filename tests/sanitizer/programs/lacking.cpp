// A crew of the real harness over a backend that lacks a function: one thread comes to it, the others wait for that thread.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "native/backend.h"
#include "native/crew.h"
#include "native/invariants.h"

namespace {
void last_words() { harness::print_line("{\"kind\":\"end\"}"); }
}  // namespace

int main(int count, char**) {
  if (count > 1) harness::violation("planted", "before");
  harness::start_watchdog(5.0, last_words);
  harness::Settings settings;
  settings.threads = 4;
  harness::Rendezvous never(settings.threads);
  harness::run_crew(settings, settings.threads, [&](harness::Worker& worker) {
    if (worker.index() == 2) throw harness::backend::Unavailable("getStreamFromPool");
    never.arrive();
  });
  std::puts("not reached");
  return 0;
}
