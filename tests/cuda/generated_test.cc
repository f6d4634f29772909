// SPDX-License-Identifier: Apache-2.0
// Generated kernels against the oracle: the samples of fused_elementwise and random programs, run
// by the emulator, for operands that are aligned and for others.
#include "rutile/tests/cuda/generated.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "rutile/ops/elementwise.h"
#include "rutile/ops/fused.h"
#include "rutile/ops/plan_cache.h"
#include "rutile/ops/reduce.h"
#include "rutile/tests/ops/harness.h"

namespace rutile::cuda {
namespace {

using harness::Findings;
using ops::FusedProgram;
using samples::Sample;
using ::testing::HasSubstr;

constexpr int64_t kMostElements = 1 << 17;

// A call with its operands.
struct Case {
  std::string what;
  ops::FusedElementwiseAttrs attrs;
  std::vector<Tensor> in;
  std::vector<TensorMeta> outs;
  Sample sample;  // its tolerance
  std::vector<Generated> kernels;

  CallMeta meta(std::vector<const TensorMeta*>* pointers) const {
    pointers->clear();
    for (const Tensor& t : in) pointers->push_back(&t.meta());
    return {&ops::kFusedElementwise, &attrs, *pointers, outs};
  }
  // Infers the outputs and generates both forms; why not, if it cannot.
  Status generate() {
    std::vector<const TensorMeta*> pointers;
    SmallVector<TensorMeta, 1> inferred;
    CallMeta call = meta(&pointers);
    call.outputs = {};
    RUTILE_RETURN_IF_ERROR(infer_call(call, &inferred));
    outs.assign(inferred.begin(), inferred.end());
    for (const bool vectors : {true, false}) {
      Generated g;
      RUTILE_RETURN_IF_ERROR(generate_fused(meta(&pointers), {vectors}, &g));
      kernels.push_back(std::move(g));
    }
    return Status();
  }
};

void check(std::vector<Case>& cases) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers know nothing of the emulator's stacks";
#endif
  EmulatedSources sources;
  for (const Case& c : cases) {
    for (const Generated& g : c.kernels) sources.add(g);
  }
  const std::string failure = sources.build();
  ASSERT_EQ(failure, "");
  Findings findings;
  for (const Case& c : cases) {
    std::vector<Tensor> want;
    for (size_t k = 0; k < c.kernels.size(); ++k) {
      const std::string what = cat(c.what, k ? ", anywhere, " : ", aligned, ", c.kernels[k].name);
      try {
        if (want.empty()) want = harness::run_oracle(ops::kFusedElementwise, &c.attrs, c.in);
        harness::compare(what, sources.run(c.kernels[k], c.in, c.outs), want, c.sample, findings);
      } catch (const std::exception& e) {
        findings.add(cat(what, ": ", e.what()));
      }
    }
  }
  if (findings.count()) ADD_FAILURE() << findings.text();
}

TEST(Generated, SamplesOfTheOp) {
  Findings findings;
  std::vector<Case> cases;
  std::map<std::string, int> refused;
  harness::for_each_case(ops::kFusedElementwise, findings, [&](const Sample& s, DType t) {
    Case c;
    c.what = s.describe(t);
    c.attrs = *static_cast<const ops::FusedElementwiseAttrs*>(s.attrs.get());
    c.in = s.make_inputs(t);
    c.sample = s;
    for (const Tensor& x : c.in) {
      if (x.numel() > kMostElements || is_complex(x.dtype()) ||
          (is_integral(x.dtype()) && x.dtype() != DType::kI32 && x.dtype() != DType::kI64)) {
        return;
      }
    }
    const Status status = c.generate();
    if (status.ok()) {
      cases.push_back(std::move(c));
    } else {
      ++refused[status.message()];
    }
  });
  EXPECT_EQ(findings.count(), 0) << findings.text();
  // What is left to other kernels, by reason.
  std::string text;
  int count = 0;
  for (const auto& [why, n] : refused) {
    text += cat(n, " times: ", why, "\n");
    count += n;
  }
  EXPECT_LE(count, 12) << text;
  EXPECT_GE(cases.size(), 80u);
  check(cases);
}

// Programs of steps drawn at random over operands that broadcast, lie transposed or have gaps.
class RandomProgram {
 public:
  explicit RandomProgram(uint32_t seed) : random_(seed) {}

  Case make() {
    static const Shape kShapes[] = {{6, 40}, {3, 4, 8}, {37, 5}, {130}, {2, 6, 4, 4}, {9, 264}};
    Case c;
    shape_ = kShapes[pick(std::size(kShapes))];
    const int inputs = 2 + static_cast<int>(pick(3));
    for (int i = 0; i < inputs; ++i) c.in.push_back(input(i));
    FusedProgram p(inputs);
    for (int i = 0; i < inputs; ++i) full_.push_back(i);
    const int steps = 3 + static_cast<int>(pick(8));
    for (int k = 0; k < steps; ++k) full_.push_back(step(&p));
    p.outputs.push_back(full_.back());
    if (pick(2)) add_row(&p);
    if (pick(2)) add_ends(&p);
    if (pick(3) == 0) p.outputs.push_back(full_[full_.size() - 2]);
    c.attrs.program = p.text();
    c.what = c.attrs.program;
    c.sample.op = &ops::kFusedElementwise;
    return c;
  }

 private:
  size_t pick(size_t n) { return random_() % n; }
  int any() { return full_[pick(full_.size())]; }

  Tensor input(int i) {
    Shape s = shape_;
    for (int d = 0; i > 0 && d < s.rank(); ++d) {
      if (pick(4) == 0) s[d] = 1;
    }
    std::vector<float> v(static_cast<size_t>(s.numel()));
    std::uniform_real_distribution<float> uniform(-1.5f, 1.5f);
    for (float& x : v) x = uniform(random_);
    Tensor t = Tensor::from<float>(v, s);
    if (i > 0 && pick(4) == 0) t = ops::cast(t, DType::kBF16);
    return t;
  }
  int step(FusedProgram* p) {
    static const OpDef* kUnary[] = {&ops::kTanh, &ops::kSigmoid, &ops::kRelu,   &ops::kGelu,
                                    &ops::kNeg,  &ops::kAbs,     &ops::kSquare, &ops::kSilu};
    static const OpDef* kBinary[] = {&ops::kAdd, &ops::kSub, &ops::kMul, &ops::kMaximum,
                                     &ops::kMinimum};
    const size_t kind = pick(10);
    if (kind < 3) {
      // A bounded value, so that products of products stay small.
      return p->add(ops::kTanh, {p->add(*kUnary[pick(std::size(kUnary))], {floating(p, any())})});
    }
    if (kind == 3) {
      const int condition = p->add(ops::kLess, {floating(p, 0), floating(p, 1)});
      return p->add(ops::kWhere, {condition, floating(p, any()), floating(p, any())});
    }
    return p->add(*kBinary[pick(std::size(kBinary))], {floating(p, any()), floating(p, any())});
  }
  // As f32.
  int floating(FusedProgram* p, int v) {
    const ops::CastAttrs f32{DType::kF32};
    return v < p->inputs ? p->add(ops::kCast, {v}, &f32) : v;
  }
  Dims last_axis() const { return {shape_.rank() - 1}; }
  // Elements that read what their row comes to, twice.
  void add_row(FusedProgram* p) {
    const ops::SumAttrs row{.axes = last_axis(), .keepdims = true};
    const ops::ReduceAttrs largest{.axes = last_axis(), .keepdims = true};
    const int x = p->add(ops::kAdd, {full_.back(), floating(p, 0)});  // whole rows
    const int top = p->add(ops::kMax, {x}, &largest);
    const int e = p->add(ops::kExp, {p->add(ops::kSub, {x, top})});
    const int sum = p->add(ops::kSum, {e}, &row);
    const int y = p->add(ops::kDiv, {e, sum});
    const int m = p->add(ops::kMean, {y}, &row);
    full_.push_back(p->add(ops::kMul, {p->add(ops::kSub, {y, m}), x}));
    p->outputs.push_back(full_.back());
    if (pick(2)) p->outputs.push_back(sum);
  }
  // Sums over everything and over all rows.
  void add_ends(FusedProgram* p) {
    const int x = p->add(ops::kMul, {full_.back(), floating(p, 0)});
    const ops::SumAttrs all{};
    p->outputs.push_back(p->add(pick(2) ? ops::kSum : ops::kMean, {x}, &all));
    if (shape_.rank() == 1) return;
    ops::SumAttrs columns{};
    for (int d = 0; d + 1 < shape_.rank(); ++d) columns.axes.push_back(d);
    p->outputs.push_back(p->add(ops::kSum, {x}, &columns));
  }

  std::mt19937 random_;
  Shape shape_;
  std::vector<int> full_;
};

TEST(Generated, RandomPrograms) {
  std::vector<Case> cases;
  int refused = 0;
  std::string why;
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    Case c = RandomProgram(seed).make();
    const Status s = c.generate();
    if (s.ok()) {
      cases.push_back(std::move(c));
    } else {
      ++refused;
      why += cat(s.message(), ": ", c.what, "\n");
    }
  }
  EXPECT_LE(refused, 6) << why;
  check(cases);
}

// The order of a sum is that of the shape alone.
TEST(Generated, NamesAreThoseOfTheSource) {
  Case a, b;
  a.attrs.program = b.attrs.program = "2: add %0 %1; relu %2 -> %3";
  a.in = {Tensor::full({8, 64}, 1.0), Tensor::full({64}, 1.0)};
  b.in = {Tensor::full({8, 32}, 1.0), Tensor::full({32}, 1.0)};
  throw_if_error(a.generate());
  throw_if_error(b.generate());
  EXPECT_NE(a.kernels[0].name, b.kernels[0].name);
  EXPECT_THAT(a.kernels[0].source, HasSubstr(a.kernels[0].name));
  EXPECT_THAT(a.kernels[0].source, HasSubstr("// 2: add %0 %1; relu %2 -> %3"));
  EXPECT_THAT(a.kernels[0].source, HasSubstr("g::load<4>"));
  EXPECT_EQ(a.kernels[0].alignment, 16u);
  EXPECT_EQ(a.kernels[1].alignment, 1u);
  EXPECT_EQ(a.kernels[0].may_overwrite, 1u);
}

}  // namespace
}  // namespace rutile::cuda
