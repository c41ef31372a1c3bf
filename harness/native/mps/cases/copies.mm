// Tensors to the device and back, through the function that torch.Tensor.copy_ calls on a Mac.
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/mps/EmptyTensor.h>
#include <ATen/mps/MPSAllocatorInterface.h>
#include <ATen/native/mps/Copy.h>
#include <ATen/ops/all.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <string>

#include "native/cases/common.h"
#include "native/mps/cases/list.h"

namespace harness {

namespace {

constexpr int64_t kElements = 64;
constexpr int64_t kRows = 48, kColumns = 32;
constexpr int kChurn = 4;
constexpr int64_t kGap = 8;

at::Tensor on_device(at::IntArrayRef sizes, at::ScalarType type) {
  return at::detail::empty_mps(sizes, type, std::nullopt, c10::Device(c10::DeviceType::MPS, 0), std::nullopt, std::nullopt);
}

at::Tensor on_host(at::IntArrayRef sizes, const Worker& worker, int iteration) {
  return at::full(sizes, worker.index() * 1000 + iteration, at::kFloat);
}

void expect_equal(const at::Tensor& expected, const at::Tensor& got, const char* invariant) {
  if (at::equal(expected, got)) return;
  violation(invariant, "expected " + std::to_string(expected.reshape({-1})[0].item<double>()) + ", got " +
                           std::to_string(got.reshape({-1})[0].item<double>()) + " as the first value");
}

void prepare() {
  backend::current_stream();
  at::mps::getIMPSAllocator();
}

}  // namespace

void run_copies(const Settings& settings) {
  prepare();
  run_crew(settings, settings.threads, [&](Worker& worker) {
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      at::Tensor host = on_host({kElements}, worker, iteration), back = at::empty({kElements}, at::kFloat);
      at::Tensor device = on_device({kElements}, at::kFloat), other = on_device({kElements}, at::kFloat);
      at::native::mps::mps_copy_(device, host, false);
      at::native::mps::mps_copy_(other, device, false);
      at::native::mps::mps_copy_(back, other, false);
      expect_equal(host, back, "copied_value");
      worker.done();
    }
  });
}

void run_non_blocking(const Settings& settings) {
  prepare();
  run_crew(settings, settings.threads, [&](Worker& worker) {
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      at::Tensor expected = on_host({kRows, kColumns}, worker, iteration), back = at::empty({kRows, kColumns}, at::kFloat);
      at::Tensor device = on_device({kRows, kColumns}, at::kFloat);
      at::native::mps::mps_copy_(device, expected.clone(), true);
      for (int one = 0; one < kChurn; ++one) at::full({kRows, kColumns}, -1, at::kFloat);  // What takes the source's memory.
      at::native::mps::mps_copy_(back, device, false);
      expect_equal(expected, back, "value_of_non_blocking_copy");
      worker.done();
    }
  });
}

void run_copies_cast(const Settings& settings) {
  prepare();
  run_crew(settings, settings.threads, [&](Worker& worker) {
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      at::Tensor host = on_host({kElements}, worker, iteration), back = at::empty({kElements}, at::kInt);
      at::Tensor device = on_device({kElements}, at::kFloat), whole = on_device({kElements}, at::kInt);
      at::native::mps::mps_copy_(device, host, false);
      at::native::mps::mps_copy_(whole, device, false);
      at::native::mps::mps_copy_(back, whole, false);
      expect_equal(host.to(at::kInt), back, "cast_value");
      worker.done();
    }
  });
}

void run_non_blocking_strided(const Settings& settings) {
  prepare();
  run_crew(settings, settings.threads, [&](Worker& worker) {
    int stream = backend::current_stream();
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      at::Tensor expected = on_host({kRows, kColumns}, worker, iteration), device = on_device({kRows, kColumns}, at::kFloat);
      at::native::mps::mps_copy_(device, expected, false);
      at::Tensor back = at::zeros({kColumns, kRows}, at::kFloat).t();
      at::native::mps::mps_copy_(back, device, true);
      backend::synchronize(stream);
      expect_equal(expected, back, "value_of_non_blocking_copy");
      worker.done();
    }
  });
}

void run_gappy_copy(const Settings& settings) {
  prepare();
  run_crew(settings, settings.threads, [&](Worker& worker) {
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      at::Tensor expected = at::arange(kRows * (kColumns + kGap), at::kFloat).reshape({kRows, kColumns + kGap});
      at::Tensor device = on_device({kRows, kColumns + kGap}, at::kFloat);
      at::native::mps::mps_copy_(device, expected, false);
      at::Tensor back = at::full({kRows, kColumns + kGap}, -1, at::kFloat);
      at::Tensor view = back.slice(1, 0, kColumns);
      at::native::mps::mps_copy_(view, device.slice(1, 0, kColumns), false);
      expect_equal(expected.slice(1, 0, kColumns), view, "value_of_view");
      expect(at::all(back.slice(1, kColumns) == -1).item<bool>(), "gaps_kept", "a copy into a view wrote beside it");
      worker.done();
    }
  });
}

}  // namespace harness
