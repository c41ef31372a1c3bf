// The default generator from all threads, each under the generator's own mutex, as operators take it.
#include <ATen/core/Tensor.h>
#include <ATen/mps/MPSGeneratorImpl.h>
#include <ATen/ops/equal.h>

#include <mutex>
#include <string>

#include "native/cases/common.h"
#include "native/mps/cases/list.h"

namespace harness {

void run_generator(const Settings& settings) {
  const at::Generator& shared = at::mps::detail::getDefaultMPSGenerator();
  run_crew(settings, settings.threads, [&](Worker& worker) {
    at::Generator generator = shared;
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      auto seed = static_cast<uint64_t>(worker.byte(iteration));
      std::lock_guard<std::mutex> guard(generator.mutex());
      generator.set_current_seed(seed);
      expect(generator.current_seed() == seed, "seed_stays", "the generator has another seed than it was given under its mutex");
      auto* implementation = static_cast<at::MPSGeneratorImpl*>(generator.unsafeGetGeneratorImpl());
      implementation->update_philox_counters();
      worker.done();
    }
  });
}

void run_generator_clone(const Settings& settings) {
  run_crew(settings, 1, [&](Worker& worker) {
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      at::Generator generator = at::mps::detail::createMPSGenerator(static_cast<uint64_t>(worker.byte(iteration)));
      static_cast<at::MPSGeneratorImpl*>(generator.unsafeGetGeneratorImpl())->update_philox_counters();
      at::Generator clone = generator.clone();
      expect(at::equal(at::Tensor(generator.get_state()), at::Tensor(clone.get_state())), "clone_has_the_state",
             "a generator and its clone are in two states");
      worker.done();
    }
  });
}

}  // namespace harness
