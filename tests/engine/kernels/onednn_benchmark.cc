// Our products of activations and weights beside oneDNN's, at the shapes of SmolLM2-135M, as a
// table in Markdown (docs/performance.md):
//
//   onednn_benchmark [threads] [isa]
//
// Each cell cycles through as many weights as the model has layers, so that they come from where
// they would in a step. What is compared is not one function: oneDNN's int8 has one scale per
// output column and gets activations that are quantised already; ours has scales per 32 weights and
// quantises.
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "engine/core/log.h"
#include "engine/kernels/ops.h"
#include "oneapi/dnnl/dnnl.hpp"
#include "tests/engine/kernels/packed_matrix.h"
#include "tests/engine/kernels/random_tensors.h"

namespace tandem {
namespace {

using dnnl::memory;

struct Shape {
  int64_t width, cols;
  int num_copies;
};
constexpr Shape kShapes[] = {
    {576, 576, 30}, {192, 576, 30}, {1536, 576, 30}, {576, 1536, 30}, {49152, 576, 1}};
constexpr int64_t kRows[] = {1, 8, 32, 128, 512};

// oneDNN's product [rows, cols] x [cols, width] with weights in the order it likes best;
// floats are converted to the types.
class OneDnnMatMul {
 public:
  struct Types {
    memory::data_type x, w;
  };

  // Throws dnnl::error where the CPU cannot run it.
  OneDnnMatMul(Types types, const Shape& shape, int64_t rows)
      : is_int8_(types.w == memory::data_type::s8) {
    const memory::dims x_dims = {rows, shape.cols}, w_dims = {shape.cols, shape.width};
    const memory::dims out_dims = {rows, shape.width};
    const memory::desc x(x_dims, types.x, memory::format_tag::ab);
    const memory::desc w(w_dims, types.w, memory::format_tag::any);
    const memory::desc out(out_dims, memory::data_type::f32, memory::format_tag::ab);
    dnnl::primitive_attr attributes;
    if (is_int8_) {
      attributes.set_output_scales(1 << 1, std::vector<float>(shape.width, 0.01f));
    }
    const dnnl::matmul::primitive_desc description(dnnl::matmul::desc(x, w, out), attributes,
                                                   engine_);
    primitive_ = dnnl::matmul(description);
    stored_w_ = memory::desc(w_dims, memory::data_type::f32, memory::format_tag::ba);
    packed_w_ = description.weights_desc();
    x_ = memory(x, engine_);
    out_ = memory(out, engine_);
    memory stored_x({x_dims, memory::data_type::f32, memory::format_tag::ab}, engine_);
    const std::vector<float> values = Activations(types.x, rows * shape.cols);
    std::memcpy(stored_x.get_data_handle(), values.data(), values.size() * sizeof(float));
    dnnl::reorder(stored_x, x_).execute(stream_, stored_x, x_);
    stream_.wait();
  }

  // A copy of w, [width, cols].
  void AddWeights(std::vector<float>& w) {
    memory stored(stored_w_, engine_, w.data());
    weights_.emplace_back(packed_w_, engine_);
    dnnl::primitive_attr attributes;
    if (is_int8_) attributes.set_output_scales(0, {1000.0f});  // up to 100
    dnnl::reorder(stored, weights_.back(), attributes).execute(stream_, stored, weights_.back());
    stream_.wait();
  }

  void Run(size_t copy) {
    primitive_.execute(
        stream_, {{DNNL_ARG_SRC, x_}, {DNNL_ARG_WEIGHTS, weights_[copy]}, {DNNL_ARG_DST, out_}});
    stream_.wait();
  }
  const float* out() const { return static_cast<const float*>(out_.get_data_handle()); }

 private:
  // The first rows are the same for every number of rows.
  static std::vector<float> Activations(memory::data_type type, int64_t size) {
    if (type != memory::data_type::u8) return RandomFloats(size, 9);
    std::vector<float> values = RandomFloats(size, 9, 100.0f);
    for (float& value : values) value = value + 100.0f;
    return values;
  }

  const bool is_int8_;
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  dnnl::matmul primitive_;
  memory::desc stored_w_, packed_w_;
  memory x_, out_;
  std::vector<memory> weights_;
};

// Median seconds of run(i) for i = 0, 1, ...
double Seconds(const std::function<void(int)>& run) {
  using Clock = std::chrono::steady_clock;
  constexpr double kEnough = 0.05;
  constexpr size_t kFewest = 3;
  run(0);
  std::vector<double> times;
  double total = 0;
  for (int i = 1; times.size() < kFewest || total < kEnough; ++i) {
    const auto begin = Clock::now();
    run(i);
    times.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
    total += times.back();
  }
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return times[times.size() / 2];
}

class Comparison {
 public:
  Comparison(const Shape& shape, Ops& ops)
      : shape_(shape), ops_(ops), floats_(RandomFloats(shape.width * shape.cols, 1, 0.1f)) {
    for (int i = 0; i < shape.num_copies; ++i) {
      float_copies_.push_back(floats_);
      stored_.push_back(std::make_unique<RandomMatrix>(DType::kQ4_1, shape.width, shape.cols, i));
      packed_.push_back(std::make_unique<PackedMatrix>(ops, stored_.back()->view));
    }
  }

  void PrintRow(int64_t rows) {
    std::printf("| %ld, %ld | %ld |", shape_.width, shape_.cols, rows);
    Print(rows, OneDnn({memory::data_type::f32, memory::data_type::f32}, rows));
    Print(rows, Ours(rows, FloatWeights(), Precision::kLow));
    Print(rows, OneDnn({memory::data_type::bf16, memory::data_type::bf16}, rows));
    Print(rows, OneDnn({memory::data_type::u8, memory::data_type::s8}, rows));
    Print(rows, Ours(rows, PackedWeights(), Precision::kLow));
    Print(rows, Ours(rows, PackedWeights(), Precision::kHigh));
    std::printf("\n");
    std::fflush(stdout);
  }

  // Whether oneDNN gives the first rows of many the bits that it gives them in smaller batches.
  bool OneDnnIsBatchInvariant(OneDnnMatMul::Types types) {
    std::vector<std::vector<float>> outs;
    for (const int64_t rows : {1, 8, 128}) {
      OneDnnMatMul matmul(types, shape_, rows);
      matmul.AddWeights(floats_);
      matmul.Run(0);
      outs.emplace_back(matmul.out(), matmul.out() + rows * shape_.width);
    }
    return std::equal(outs[0].begin(), outs[0].end(), outs[1].begin()) &&
           std::equal(outs[1].begin(), outs[1].end(), outs[2].begin());
  }

 private:
  // Seconds of one product; 0 where the CPU has no such.
  double OneDnn(OneDnnMatMul::Types types, int64_t rows) {
    try {
      OneDnnMatMul matmul(types, shape_, rows);
      for (int i = 0; i < shape_.num_copies; ++i) matmul.AddWeights(floats_);
      return Seconds([&](int i) { matmul.Run(i % shape_.num_copies); });
    } catch (const dnnl::error&) {
      return 0;
    }
  }

  std::vector<MatrixView> FloatWeights() const {
    std::vector<MatrixView> views;
    for (const std::vector<float>& copy : float_copies_) {
      views.push_back({copy.data(), DType::kF32, shape_.width, shape_.cols});
    }
    return views;
  }
  std::vector<MatrixView> PackedWeights() const {
    std::vector<MatrixView> views;
    for (const auto& packed : packed_) views.push_back(packed->view());
    return views;
  }

  double Ours(int64_t rows, const std::vector<MatrixView>& weights, Precision precision) {
    const std::vector<float> x = RandomFloats(rows * shape_.cols, 9);
    std::vector<float> out(rows * shape_.width);
    return Seconds([&](int i) {
      ops_.MatMul(x.data(), rows, {{weights[i % weights.size()], nullptr, out.data()}}, precision);
    });
  }

  void Print(int64_t rows, double seconds) const {
    const double operations = 2.0 * static_cast<double>(rows * shape_.width * shape_.cols);
    if (seconds == 0) {
      std::printf(" - |");
    } else {
      std::printf(" %.0f |", operations / seconds * 1e-9);
    }
  }

  const Shape shape_;
  Ops& ops_;
  std::vector<float> floats_;
  std::vector<std::vector<float>> float_copies_;
  std::vector<std::unique_ptr<RandomMatrix>> stored_;
  std::vector<std::unique_ptr<PackedMatrix>> packed_;
};

void Main(int num_threads, Isa isa) {
  omp_set_num_threads(num_threads);
  auto ops = Ops::Create({.isa = isa, .num_threads = num_threads, .cpus = {}});
  CHECK_OK(ops.status());
  std::printf("%d thread(s), ours: %s; GFLOP/s\n\n", num_threads,
              std::string(IsaName((*ops)->isa())).c_str());
  std::printf(
      "| N, K | M | oneDNN float32 | ours float32 | oneDNN bf16 | oneDNN u8 x s8 |"
      " ours Q4_1, 8 bits | ours Q4_1, 15 bits |\n|---|---|---|---|---|---|---|---|\n");
  std::string invariance;
  for (const Shape& shape : kShapes) {
    Comparison comparison(shape, **ops);
    for (const int64_t rows : kRows) comparison.PrintRow(rows);
    const bool floats =
        comparison.OneDnnIsBatchInvariant({memory::data_type::f32, memory::data_type::f32});
    const bool bytes =
        comparison.OneDnnIsBatchInvariant({memory::data_type::u8, memory::data_type::s8});
    invariance += std::to_string(shape.width) + ", " + std::to_string(shape.cols) + ": float32 " +
                  (floats ? "yes" : "no") + ", int8 " + (bytes ? "yes" : "no") + "\n";
  }
  std::printf("\noneDNN gives a row the same bits in batches of 1, 8 and 128:\n%s",
              invariance.c_str());
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) {
  int num_threads = 1;
  if (argc > 1) CHECK(absl::SimpleAtoi(argv[1], &num_threads)) << argv[1];
  const auto isa = tandem::ParseIsa(argc > 2 ? argv[2] : "auto");
  CHECK_OK(isa.status());
  tandem::Main(num_threads, *isa);
}
