// torch.classes.mps_stress_sim.ShaderLibrary: kernels that a program brings along. There is no compiler here: the kernels of
// stress/scenario/shaders.py are carried by name, and Python refuses any other source before it gets here.
#include <torch/custom_class.h>
#include <torch/library.h>

#include <mutex>
#include <unordered_set>

#include "errors.h"
#include "launch.h"
#include "runtime/shader_library.h"
#include "tensors.h"

namespace mps_sim {

namespace {

struct Bound {  // A tensor of one launch.
  Layout layout;
  MemoryRange memory;

  float* values() const { return static_cast<float*>(memory.base) + memory.storage_offset; }
};

struct LaunchOfShader {
  std::vector<Bound> tensors;
  std::vector<float> numbers;
  int64_t threads;
};

void scale(const LaunchOfShader& launch) {
  announce_read(launch.tensors[1].layout, launch.tensors[1].memory);
  announce_write(launch.tensors[0].layout, launch.tensors[0].memory);
  const Announced announced;
  float* const to = launch.tensors[0].values();
  const float* const from = launch.tensors[1].values();
  for (int64_t i = 0; i < launch.threads; ++i) to[i] = from[i] * launch.numbers[0] + launch.numbers[1];
}

void add(const LaunchOfShader& launch, float number) {
  announce_write(launch.tensors[0].layout, launch.tensors[0].memory);
  const Announced announced;
  float* const values = launch.tensors[0].values();
  for (int64_t i = 0; i < launch.threads; ++i) values[i] += number;
}

// A name for work on a stream, which lives for ever.
const char* kept_name(const std::string& name) {
  static std::mutex mutex;
  static auto* const names = new std::unordered_set<std::string>;
  std::lock_guard<std::mutex> guard(mutex);
  return names->insert("shader " + name).first->c_str();
}

class Shader : public torch::CustomClassHolder {
 public:
  Shader(const std::string& name, std::shared_ptr<Pipeline> pipeline)
      : name_(kept_name(name)), is_scale_(name == "scale"), pipeline_(std::move(pipeline)) {
    if (!is_scale_) number_ = std::stof(name.substr(name.find('_') + 1));
  }

  void launch(const std::vector<at::Tensor>& tensors, const std::vector<double>& numbers) const {
    const size_t wanted = is_scale_ ? 2 : 1;
    TORCH_CHECK(tensors.size() == wanted && numbers.size() == (is_scale_ ? 2 : 0), name_, ": ", wanted,
                " tensors expected, and ", is_scale_ ? 2 : 0, " numbers");
    LaunchOfShader launch{{}, {numbers.begin(), numbers.end()}, tensors[0].numel()};
    const StreamId stream = translated([] {
      check_not_forked();
      return current_stream();
    });
    for (const at::Tensor& tensor : tensors) {
      TORCH_CHECK(is_on_device(tensor), name_, ": a tensor of the device is expected, not of ", tensor.device());
      TORCH_CHECK(tensor.scalar_type() == at::kFloat && tensor.is_contiguous() && tensor.numel() >= launch.threads,
                  name_, ": contiguous tensors of 32-bit floats are expected, of ", launch.threads, " elements");
      launch.tensors.push_back({layout_of(tensor), memory_for(tensor, stream)});
    }
    note_found_pipeline(pipeline_);
    enqueue(stream, name_, [launch = std::move(launch), is_scale = is_scale_, number = number_] {
      if (is_scale) {
        scale(launch);
      } else {
        add(launch, number);
      }
    });
  }

 private:
  const char* name_;
  bool is_scale_;
  float number_ = 0;
  std::shared_ptr<Pipeline> pipeline_;
};

class Library : public torch::CustomClassHolder {
 public:
  explicit Library(const std::vector<std::string>& names) : library_(names) {}

  c10::intrusive_ptr<Shader> shader(const std::string& name) {
    return c10::make_intrusive<Shader>(name, translated([&] { return library_.pipeline(name); }));
  }

 private:
  ShaderLibrary library_;
};

}  // namespace

TORCH_LIBRARY_FRAGMENT(mps_stress_sim, library) {
  library.class_<Shader>("Shader").def("launch", [](const c10::intrusive_ptr<Shader>& self,
                                                    const std::vector<at::Tensor>& tensors,
                                                    const std::vector<double>& numbers) { self->launch(tensors, numbers); });
  library.class_<Library>("ShaderLibrary")
      .def(torch::init<std::vector<std::string>>())
      .def("shader", [](const c10::intrusive_ptr<Library>& self, const std::string& name) { return self->shader(name); });
}

}  // namespace mps_sim
