// SPDX-License-Identifier: Apache-2.0
// Random programs run eagerly and compiled: bit-equal with the optional passes off, within rounding
// with all of them on and with each one off; with remat the same bits as without. What fails is
// reduced and printed with its seed.
//
//   RUTILE_FUZZ_SECONDS=3600 RUTILE_FUZZ_SEED=7 test_graph --gtest_filter='Fuzz.*'
//   RUTILE_FUZZ_PROGRAM=7000029 test_graph --gtest_filter='Fuzz.*'     the program of that seed
//   alone
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "rutile/graph/compile.h"
#include "rutile/graph/exec/program.h"
#include "rutile/graph/exec/session.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/view.h"
#include "rutile/tests/graph/fuzz_interpreter.h"

namespace rutile::fuzz {
namespace {

using graph::Compiled;

constexpr int kCalls = 2;  // the second finds the first one's values in memory and in the States

// All results of kCalls runs, then the States.
struct Outcome {
  std::vector<std::vector<double>> values;
  std::vector<std::string> metas;
  std::string error;

  void add(const Tensor& t) {
    values.push_back(ops::cast(t, DType::kF64).to_vector<double>());
    metas.push_back(cat(dtype_name(t.dtype()), to_string(t.shape())));
  }
  void add(const Tensors& ts) {
    for (const Tensor& t : ts) add(t);
  }
};

Outcome run_eager(const Program& p, uint64_t seed, double noise) {
  Outcome o;
  try {
    Machine machine(p, seed);
    for (int i = 0; i < kCalls; ++i) {
      machine.renew_handles();
      if (i > 0) machine.train();
      o.add(machine.run(random_inputs(p, seed, noise)));
    }
    o.add(machine.states());
  } catch (const Error& e) {
    o.error = e.message();
  }
  return o;
}

// "all+remat": these passes off, and as little kept for backward as can be.
constexpr std::string_view kRemat = "+remat";

Outcome run_compiled(const Program& p, uint64_t seed, std::string off) {
  const bool remat = off.ends_with(kRemat);
  if (remat) off.resize(off.size() - kRemat.size());
  Outcome o;
  try {
    Machine machine(p, seed);
    Compiled f = graph::compile([&](const Tensors& x) { return machine.run(x); },
                                {.passes_off = off, .name = "fuzz", .remat = remat ? "1" : "off"});
    for (int i = 0; i < kCalls; ++i) {
      if (i > 0) machine.train();
      o.add(f(random_inputs(p, seed, 0)));
    }
    o.add(machine.states());
    for (const graph::PassReport& r : f.report().passes) {
      if (!r.dropped.empty()) o.error = cat("pass ", r.name, " was dropped: ", r.dropped);
    }
    const auto& passes = f.report().passes;
    const bool for_inference = std::any_of(passes.begin(), passes.end(),
                                           [](const auto& r) { return r.name == "fold_norm"; });
    const size_t bodies = !passes.empty() && passes.back().name == "bodies";
    const graph::Pipeline which =
        for_inference ? graph::Pipeline::kInference : graph::Pipeline::kTraining;
    if (off.empty() && passes.size() != graph::pipeline(which).size() + bodies) {
      o.error = "lowering refused what the passes made";
    }
    if (const std::string& why = f.report().remat.dropped; !why.empty()) {
      o.error = cat("remat was dropped: ", why);
    }
    if (f.compilations() != 1) o.error = "the second call compiled again";
  } catch (const Error& e) {
    o.error = e.message();
  }
  return o;
}

double largest(const std::vector<double>& v) {
  double m = 0;
  for (const double x : v) m = std::max(m, std::isfinite(x) ? std::abs(x) : 0);
  return m;
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double d = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    if (a[i] == b[i]) continue;
    const double x = std::abs(a[i] - b[i]);
    d = std::max(d, std::isfinite(x) ? x : HUGE_VAL);
  }
  return d;
}

// Empty if the compiled run agrees with the eager one. `moved`: eager results for inputs that were
// moved by a rounding error, which tells how far rounding may carry.
std::string disagreement(const Program& p, const Outcome& want, const Outcome& moved,
                         const Outcome& got, bool bits) {
  if (!got.error.empty()) return got.error;
  if (got.metas != want.metas) return "shapes or dtypes differ";
  for (size_t i = 0; i < want.values.size(); ++i) {
    const double d = distance(want.values[i], got.values[i]);
    // What cancels out leaves the rounding of numbers around one.
    const double scale = std::max(largest(want.values[i]), 0.01),
                 shaken = distance(want.values[i], moved.values[i]);
    const double tolerance =
        bits ? 0 : scale * (p.dtype == DType::kF64 ? 1e-9 : 1e-4) + 100 * shaken;
    if (d > tolerance) {
      return cat("result ", i, " ", want.metas[i], " differs by ", d, ", allowed ", tolerance,
                 ", largest ", scale);
    }
  }
  return "";
}

// Bodies take row-major operands and backward sums in the order of the iterations: sums differ in
// their last bits from eager ones.
bool runs_bodies(const std::vector<Step>& steps) {
  return std::any_of(steps.begin(), steps.end(), [](const Step& s) {
    return std::string_view(Interpreter::kinds()[s.kind].name) == "control" || runs_bodies(s.body);
  });
}

// Why the program fails with these passes off; empty if it does not. Ties that rounding breaks the
// other way are no error: a real one shows with other inputs too.
std::string failure(const Program& p, uint64_t seed, const std::string& off) {
  std::string text;
  for (const uint64_t s : {seed, seed + 77}) {
    const double noise = p.dtype == DType::kF64 ? 1e-14 : 1e-6;
    const Outcome want = run_eager(p, s, 0);
    if (!want.error.empty()) return "";
    const Outcome moved = run_eager(p, s, noise);
    const bool bits = off.starts_with("all") && !runs_bodies(p.steps);
    text = disagreement(p, want, moved, run_compiled(p, s, off), bits);
    if (text.empty()) return "";
  }
  return text;
}

// Leaves out every step without which the program still fails.
bool shrink(std::vector<Step>* steps, const std::function<bool()>& fails) {
  bool any = false;
  for (size_t i = steps->size(); i-- > 0;) {
    const Step step = (*steps)[i];
    steps->erase(steps->begin() + static_cast<std::ptrdiff_t>(i));
    if (fails()) {
      any = true;
      continue;
    }
    steps->insert(steps->begin() + static_cast<std::ptrdiff_t>(i), step);
    any = shrink(&(*steps)[i].body, fails) || any;
  }
  return any;
}

std::string describe(const Program& p, uint64_t seed) {
  std::vector<std::string> log;
  Machine machine(p, seed);
  machine.run(random_inputs(p, seed, 0), &log);
  std::string text =
      cat("inputs v0, v1, v2 of ", p.dtype, p.shape, p.gradient ? ", with gradients" : "");
  for (const std::string& line : log) text += "\n    " + line;
  return text;
}

std::string report(Program p, uint64_t seed, const std::string& off) {
  const auto fails = [&] { return !failure(p, seed, off).empty(); };
  if (p.gradient) {
    p.gradient = false;
    p.gradient = !fails();
  }
  while (shrink(&p.steps, fails)) {
  }
  return cat("seed ", seed, ", passes off: '", off, "': ", failure(p, seed, off), "\n  ",
             describe(p, seed));
}

double option(const char* name, double otherwise) {
  const char* v = std::getenv(name);
  return v ? std::atof(v) : otherwise;
}

// Optional passes of both pipelines.
std::vector<std::string> optional_passes() {
  std::vector<std::string> names;
  for (const graph::Pipeline which : {graph::Pipeline::kTraining, graph::Pipeline::kInference}) {
    for (const graph::Pass& pass : graph::pipeline(which)) {
      const bool known = std::count(names.begin(), names.end(), pass.name) > 0;
      if (pass.optional && !known) names.emplace_back(pass.name);
    }
  }
  return names;
}

// None, all, one after the other, and sets drawn at random.
std::vector<std::string> pass_sets(uint64_t n) {
  static const std::vector<std::string> all = optional_passes();
  Dice dice(n);
  std::string some;
  for (const std::string& name : all) {
    if (dice.roll(2)) some += cat(some.empty() ? "" : ",", name);
  }
  return {"all", "", cat("all", kRemat), std::string(kRemat), all[n % all.size()], some};
}

TEST(Fuzz, CompiledProgramsDoWhatEagerOnesDo) {
  setenv("RUTILE_VERIFY", "1", 1);
  if (const char* only = std::getenv("RUTILE_FUZZ_PROGRAM")) {
    const uint64_t seed = std::strtoull(only, nullptr, 10);
    const Program p = random_program(seed);
    std::printf("%s\n", describe(p, seed).c_str());
    for (const std::string& off : pass_sets(seed % 1'000'000)) {
      if (!failure(p, seed, off).empty()) ADD_FAILURE() << report(p, seed, off);
    }
    return;
  }
  const double seconds = option("RUTILE_FUZZ_SECONDS", 20);
  const auto first = static_cast<uint64_t>(option("RUTILE_FUZZ_SEED", 1)) * 1'000'000;
  const auto start = std::chrono::steady_clock::now();
  const auto elapsed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  int failures = 0, refusals = 0, minutes = 0;
  uint64_t n = 0;
  for (; elapsed() < seconds && failures < 5; ++n) {
    const uint64_t seed = first + n;
    const Program p = random_program(seed);
    const std::string refused = run_eager(p, seed, 0).error;
    if (!refused.empty()) {
      if (++refusals == 1) std::printf("seed %s: %s\n", cat(seed).c_str(), refused.c_str());
      continue;
    }
    for (const std::string& off : pass_sets(n)) {
      if (failure(p, seed, off).empty()) continue;
      ADD_FAILURE() << report(p, seed, off);
      ++failures;
      break;
    }
    if (elapsed() >= 60 * (minutes + 1)) {
      std::printf("%d min: %s programs, %d failures\n", ++minutes, cat(n).c_str(), failures);
      std::fflush(stdout);
    }
  }
  unsetenv("RUTILE_VERIFY");
  std::printf("%s programs in %.0f s\n", cat(n).c_str(), elapsed());
  EXPECT_GT(n, 20u);
  EXPECT_LE(refusals, static_cast<int>(n / 20)) << "programs that eager execution refuses";
}

// Programs of one wide convolution: its kernels in the compiled ones are counted by op.
TEST(Fuzz, WideConvolutionsRunByWinogradsAlgorithm) {
  if (kernels::isa() == kernels::Isa::kBaseline) GTEST_SKIP() << "needs AVX2";
  const auto kinds = Interpreter::kinds();
  const auto kind = std::find_if(kinds.begin(), kinds.end(), [](const Interpreter::Kind& k) {
    return std::string_view(k.name) == "wide_conv";
  });
  std::map<std::string, int> found;
  for (uint64_t seed = 0; seed < 24; ++seed) {
    Dice dice(seed);
    Program p{.shape = {4, 5}, .gradient = seed % 2 == 0, .steps = {Step{}}};
    p.steps[0].kind = static_cast<uint64_t>(kind - kinds.begin());
    for (uint64_t& r : p.steps[0].r) r = dice.roll();
    Machine machine(p, seed);
    Compiled f = graph::compile([&](const Tensors& x) { return machine.run(x); });
    f(random_inputs(p, seed, 0));
    const graph::Program& program = f.session().program();
    for (const graph::Step& step : program.steps) {
      if (step.node == graph::kNone) continue;
      if (std::string_view(step.plan->kernel) == "conv2d_winograd") {
        ++found[program.graph->nodes[static_cast<size_t>(step.node)].op->name];
      }
    }
  }
  for (const char* op : {"conv2d", "conv2d_act", "conv2d_input_grad", "conv2d_weight_grad"}) {
    EXPECT_GT(found[op], 0) << op;
  }
}

}  // namespace
}  // namespace rutile::fuzz
