// SPDX-License-Identifier: Apache-2.0
// Why a compiled function is as fast as it is: what the passes did and did not do, where values
// are reordered, what lies in memory, and the time of each kernel beside the least that its
// arithmetic and its traffic can take on this machine.
//
//   auto f = graph::compile([](const std::vector<Tensor>& x) {
//     return std::vector<Tensor>{ops::relu(x[0] + x[1])};
//   });
//   const Tensor x = Tensor::full({4, 8}, 1.0);
//   graph::Explanation e = graph::explain(f, {x, x});
//   std::fputs(e.text().c_str(), stdout);
//   e.write("folder");  // explain.txt, explain.json, memory.svg, graph.txt, graph.dot
//
// nn::TrainStep and nn::EvalStep have explain() of their own, the programs --explain, compiled
// Python functions .explain(). Nothing of it costs anything where it is not called.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "rutile/graph/compile.h"
#include "rutile/graph/explain/peaks.h"

namespace rutile::graph {

struct ExplainOptions {
  int runs = 0;        // measured runs; 0: as many as fit into `seconds`, 2 to 50
  double seconds = 2;  // of measured runs, each with and without a look at every kernel
};

// A step of the program: a kernel run once.
struct KernelTime {
  std::string op, kernel;  // "conv2d", "dnnl_conv"
  std::string where;       // "layer1.0.conv1 (resnet.cc:71)"
  std::string operands;    // "f32[8,64,56,56] f32[64,64,1,1] -> f32[8,64,56,56]"
  Phase phase = Phase::kForward;
  double ms = 0;        // the median
  double best_ms = 0;   // the fastest run's
  double limit_ms = 0;  // the larger of FLOPs / peak and bytes / bandwidth
  Cost cost;
  DType type = DType::kF32;    // what its products are computed from
  bool by_arithmetic = false;  // what the limit is made of
};

// A value that is written again in another place: in the graph, or where a kernel wanted it.
struct Reorder {
  std::string value;   // "f32[64,64,3,3] of layer1.0.conv2.weight"
  std::string source;  // what the value is: "a state", the name of an op
  std::string from, to;
  std::string reader;  // whom it is made for
  double bytes = 0, ms = 0;
};

// A kernel that was generated for its call.
struct GeneratedSource {
  std::string name;       // "fused_0123456789abcdef"
  std::string source;     // CUDA C++
  std::string resources;  // a line a kernel: registers, spills, shared memory, occupancy
  int steps = 0;          // of the program that it runs
};

struct BufferUse {
  ArenaBuffer place;
  std::string what;  // "conv2d f32[8,64,56,56]", "workspace of conv2d"
  std::string where;
  Phase phase = Phase::kForward;
  bool value = true;  // no workspace, no copy
};

struct RUTILE_API Explanation {
  std::string name;
  CompileReport report;  // passes with their remarks, compile times, memory plan
  MachinePeaks peaks;
  std::vector<KernelTime> kernels;  // in order of execution
  std::vector<Reorder> reorders;
  std::vector<BufferUse> buffers;
  std::vector<GeneratedSource> sources;
  // Of a device that can capture: "1: a graph of 384 kernels", "384: print works on the host".
  std::string launches;
  // What the device itself says of one run, the copies of its inputs included, where it does
  // (CUPTI); kernels' times are then the device's, too.
  std::string device_run;
  double busy_ms = 0, gap_ms = 0, longest_gap_ms = 0;
  std::shared_ptr<const Graph> graph;
  int runs = 0;
  double step_ms = 0, best_ms = 0;  // a run as it always is: median, best
  int64_t state_bytes = 0;
  // Of what depends on States alone and is computed again only when they change.
  int frozen_kernels = 0;
  int64_t frozen_bytes = 0;

  double kernel_ms() const;       // sum over the kernels
  double best_kernel_ms() const;  // sum over the kernels, each in its fastest run
  double limit_ms() const;        // sum over the kernels' limits
  Cost cost() const;
  // Tables of at most 100 columns.
  std::string text() const;
  std::string to_json() const;
  // Offsets over time, each buffer with its op, shape and Cell as a title; colours are phases.
  std::string memory_svg() const;
  // Writes all that into `folder` (sources as kernels.cu), which is made if need be; Error{kIo}
  // where it cannot be written.
  void write(const std::string& folder) const;
};

// Compiles f for the inputs if need be, runs it several times and puts all States back as they
// were: results before and after are those without it, bit for bit. Error{kRuntime} inside a trace
// or a gradient scope.
RUTILE_API Explanation explain(Compiled& f, const std::vector<Tensor>& inputs,
                               const ExplainOptions& options = {}, const Variant& variant = {});

}  // namespace rutile::graph
