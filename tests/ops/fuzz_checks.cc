// SPDX-License-Identifier: Apache-2.0
// Random calls of every op: wrong shapes, dtypes, attributes, values and placements, empty and huge
// sizes. Each gives a result or an Error that a user can have caused; so do its gradient and the
// call compiled. RUTILE_FUZZ_CALLS=5000 asks for more calls of each op than CI makes,
// RUTILE_FUZZ_SEED for others.
//
//   RUTILE_FUZZ_CALLS=5000 RUTILE_FUZZ_SEED=7 test_ops --gtest_filter='Samples/Fuzz.*'
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "rutile/autograd/tape.h"
#include "rutile/core/allocator.h"
#include "rutile/graph/compile.h"
#include "rutile/ops/call.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/plan_cache.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/tests/ops/harness.h"

namespace rutile::harness {

std::string describe_call(const OpDef& op, const AnyAttrs& attrs,
                          const std::vector<TensorMeta>& metas) {
  std::string text = cat(op.name, "(");
  for (const TensorMeta& m : metas) text += cat(text.back() == '(' ? "" : ", ", m);
  text += ")";
  if (op.attrs) text += cat(" ", attrs_to_string(*op.attrs, attrs.get()));
  return text;
}

namespace {

using Tensors = std::vector<Tensor>;

// What runs right now, for the report of a crash.
char current_call[1024];

void report_crash(int signal_number) {
  [[maybe_unused]] ssize_t n = write(2, current_call, strnlen(current_call, sizeof current_call));
  n = write(2, "\n", 1);
  std::signal(signal_number, SIG_DFL);
  std::raise(signal_number);
}

class CrashReport {
 public:
  CrashReport() {
    for (size_t i = 0; i < std::size(kSignals); ++i) {
      struct sigaction action = {};
      action.sa_handler = report_crash;
      sigaction(kSignals[i], &action, &saved_[i]);
    }
  }
  ~CrashReport() {
    for (size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &saved_[i], nullptr);
  }

 private:
  static constexpr int kSignals[] = {SIGFPE, SIGSEGV, SIGABRT};
  struct sigaction saved_[3];
};

class Dice {
 public:
  explicit Dice(uint64_t seed) : key_{seed} {}
  uint64_t roll(uint64_t n) { return philox(key_, next_++)[0] % n; }
  template <class T, size_t N>
  T pick(const T (&from)[N]) {
    return from[roll(N)];
  }

 private:
  PhiloxKey key_;
  uint64_t next_ = 0;
};

constexpr int64_t kOddNumbers[] = {-1, 0,   1, 2,    3,         4,         -2,        7,
                                   16, 100, 5, -100, INT32_MAX, INT64_MAX, INT64_MIN, 1LL << 40};
constexpr double kOddDoubles[] = {
    0.0,  1.0,     -1.0, 0.5, 1e300, -1e-300, std::numeric_limits<double>::infinity(),
    1e19, -1e19,   2.5,  100, 1e-20, -0.0,    -std::numeric_limits<double>::infinity(),
    -0.5, 1 << 20, 3,    7,   -2,    1e9,     std::numeric_limits<double>::quiet_NaN()};
constexpr const char* kOddWords[] = {"", "none", "mean", "sum", "no such word", "\xff\xfe"};

Dims odd_dims(Dice& dice) {
  Dims d;
  for (uint64_t n = dice.roll(6); n > 0; --n) d.push_back(dice.pick(kOddNumbers));
  return d;
}

// Half of the values come from a sample, so that calls get past the first check.
AnyAttrs odd_attrs(const OpDef& op, const AnyAttrs& start, Dice& dice) {
  AnyAttrs attrs = start;
  for (int f = 0; op.attrs && f < op.attrs->num_fields; ++f) {
    if (dice.roll(3) != 0) continue;
    const AttrValue old = op.attrs->get(attrs.get(), f);
    AttrValue odd = old;
    if (std::holds_alternative<bool>(old)) odd = dice.roll(2) == 0;
    if (std::holds_alternative<int64_t>(old)) odd = dice.pick(kOddNumbers);
    if (std::holds_alternative<double>(old)) odd = dice.pick(kOddDoubles);
    if (std::holds_alternative<Scalar>(old)) {
      odd = dice.roll(2) ? Scalar(dice.pick(kOddNumbers)) : Scalar(dice.pick(kOddDoubles));
    }
    if (std::holds_alternative<Dims>(old)) odd = odd_dims(dice);
    if (std::holds_alternative<DType>(old) || std::holds_alternative<std::monostate>(old)) {
      odd = static_cast<DType>(dice.roll(kNumDTypes));
    }
    if (std::holds_alternative<std::string>(old)) odd = std::string(dice.pick(kOddWords));
    // A pair of numbers refuses other lengths: the field keeps its value.
    (void)op.attrs->set(attrs.get_mutable(), f, odd).ok();
  }
  return attrs;
}

TensorMeta odd_meta(Dice& dice, bool huge) {
  constexpr int64_t kSmall[] = {0, 1, 1, 2, 3, 4, 5, 8, 16, 17};
  constexpr int64_t kHuge[] = {1, 2, 3, 1LL << 20, 1LL << 31, (1LL << 31) - 1, 1LL << 45};
  constexpr DType kTypes[] = {DType::kF32, DType::kF32, DType::kF32, DType::kF64, DType::kBF16,
                              DType::kF16, DType::kI32, DType::kI64, DType::kU8,  DType::kBool};
  for (;;) {
    Shape shape;
    for (uint64_t n = dice.roll(huge ? 6 : 5); n > 0; --n) {
      shape.push_back(huge ? dice.pick(kHuge) : dice.pick(kSmall));
    }
    int64_t numel = 0;
    if (!checked_numel(shape, &numel).ok() || (!huge && numel > 4096)) continue;
    const bool rare = dice.roll(20) == 0;
    return TensorMeta(shape, rare ? static_cast<DType>(dice.roll(kNumDTypes)) : dice.pick(kTypes));
  }
}

struct RandomCall {
  AnyAttrs attrs;
  std::vector<TensorMeta> metas;
  std::vector<bool> absent;
};

// A sample with some inputs replaced and some attributes changed.
RandomCall random_call(const OpDef& op, const SampleList& list, Dice& dice, bool huge) {
  RandomCall c;
  if (op.attrs) c.attrs = AnyAttrs(op.attrs, nullptr);
  const size_t extra = op.variadic_in ? 2 : 0;
  size_t n = static_cast<size_t>(op.min_inputs) +
             dice.roll(static_cast<uint64_t>(op.num_inputs - op.min_inputs) + 1 + extra);
  const Sample* s = nullptr;
  if (!list.samples.empty() && dice.roll(4) != 0) {
    s = &list.samples[dice.roll(list.samples.size())];
    if (!is_long(*s)) {
      c.attrs = s->attrs;
      n = s->inputs.size();
    } else {
      s = nullptr;
    }
  }
  const DType sweep = s ? s->dtypes[dice.roll(s->dtypes.size())] : DType::kF32;
  for (size_t i = 0; i < n; ++i) {
    const bool from_sample = s && dice.roll(3) != 0;
    TensorMeta m = odd_meta(dice, huge);
    if (from_sample && !s->inputs[i].absent) {
      m = TensorMeta(s->inputs[i].shape, s->inputs[i].dtype.set ? s->inputs[i].dtype.value : sweep);
      if (m.rank() > 0 && dice.roll(2)) {  // one dimension off
        const int d = static_cast<int>(dice.roll(static_cast<uint64_t>(m.rank())));
        Shape shape = m.shape;
        shape[d] = huge ? 1LL << 33 : static_cast<int64_t>(dice.roll(9));
        int64_t numel = 0;
        if (checked_numel(shape, &numel).ok()) m = TensorMeta(shape, m.dtype);
      }
    }
    c.metas.push_back(m);
    const bool optional = i < 32 && (op.optional_mask >> i & 1u);
    c.absent.push_back(optional && dice.roll(2));
  }
  switch (dice.roll(30)) {  // one input too few or too many, or a required one missing
    case 0:
      if (!c.metas.empty()) {
        c.metas.pop_back();
        c.absent.pop_back();
      }
      break;
    case 1:
      c.metas.push_back(odd_meta(dice, huge));
      c.absent.push_back(false);
      break;
    case 2:
      if (!c.absent.empty()) c.absent[dice.roll(c.absent.size())] = true;
      break;
    default:
      break;
  }
  c.attrs = odd_attrs(op, c.attrs, dice);
  return c;
}

int64_t elements(const RandomCall& c, const SmallVector<TensorMeta, 1>& outs) {
  int64_t n = 0;
  for (const TensorMeta& m : outs) n = std::max(n, m.numel());
  for (const TensorMeta& m : c.metas) n = std::max(n, m.numel());
  return n;
}

// Ops with kernels whose work is not bounded by their tensors would run for ever.
bool bounded(const OpDef& op) {
  for (const char* name : {"while_loop", "scan", "cond", "recompute"}) {
    if (std::strcmp(op.name, name) == 0) return false;
  }
  return true;
}

// Values of all kinds, in memory of all kinds.
samples::Input odd_input(const TensorMeta& m, Dice& dice) {
  samples::Input spec = samples::in(m.shape);
  switch (dice.roll(6)) {
    case 0:
      spec = spec.filled(is_integral(m.dtype) ? samples::extremes() : samples::specials());
      break;
    case 1:
      spec = spec.ints(0, 3);  // indices that mostly fit
      break;
    case 2:
      spec = spec.values({1});
      break;
    default:
      break;
  }
  constexpr samples::View kViews[] = {samples::View::kContiguous, samples::View::kChannelsLast,
                                      samples::View::kTransposed, samples::View::kSwapped,
                                      samples::View::kGaps,       samples::View::kTight,
                                      samples::View::kExpanded};
  const samples::View view = dice.pick(kViews);
  using V = samples::View;
  int rank_needed = view == V::kTransposed ? 2 : 1;
  if (view == V::kChannelsLast || view == V::kSwapped) rank_needed = 3;
  if (dice.roll(3) == 0 && m.rank() >= rank_needed && m.numel() > 0) spec = spec.viewed(view);
  return spec;
}

Tensors small_tensors(const RandomCall& c, Dice& dice) {
  Tensors in;
  for (size_t i = 0; i < c.metas.size(); ++i) {
    if (c.absent[i]) {
      in.emplace_back();
      continue;
    }
    const DType t = c.metas[i].dtype;
    const samples::Input spec =
        is_complex(t) ? samples::in(c.metas[i].shape) : odd_input(c.metas[i], dice);
    in.push_back(samples::make_tensor(spec, t, {dice.roll(1 << 20)}));
  }
  return in;
}

// Backward of a call that ran.
void try_gradient(const OpDef& op, const RandomCall& c, const Tensors& in) {
  if (op.mutate_mask || (!op.grad && (!op.compose || op.no_grad))) return;
  GradScope scope;
  Tensors xs;
  for (const Tensor& t : in) {
    if (!t.defined() || !is_floating(t.dtype())) continue;
    scope.watch(t);
    xs.push_back(t);
  }
  if (xs.empty()) return;
  Tensor total;
  for (const Tensor& y : call_n(op, c.attrs.get(), in)) {
    if (!y.defined() || !is_floating(y.dtype())) continue;
    const Tensor part = ops::sum(ops::cast(y, DType::kF64));
    total = total.defined() ? total + part : part;
  }
  if (total.defined()) scope.gradient(total, xs);
}

// The call compiled, with all passes.
void try_compiled(const OpDef& op, const RandomCall& c, const Tensors& in) {
  if (op.mutate_mask || op.dynamic) return;
  Tensors present;
  for (const Tensor& t : in) {
    if (t.defined()) present.push_back(t);
  }
  graph::Compiled f = graph::compile(
      [&](const Tensors& given) {
        Tensors all(in.size());
        size_t next = 0;
        for (size_t i = 0; i < in.size(); ++i) {
          if (in[i].defined()) all[i] = given[next++];
        }
        const TensorList out = call_n(op, c.attrs.get(), all);
        return Tensors(out.begin(), out.end());
      },
      {.name = "fuzz"});
  f(present);
}

void run_call(const OpDef& op, const RandomCall& c, Dice& dice) {
  const Tensors in = small_tensors(c, dice);
  run_op(op, c.attrs.get(), in);
  if (dice.roll(3) == 0) try_gradient(op, c, in);
  if (dice.roll(6) == 0) try_compiled(op, c, in);
}

void try_call(const OpDef& op, const RandomCall& c, Dice& dice, Findings& findings) {
  const std::string what = describe_call(op, c.attrs, c.metas);
  std::strncpy(current_call, what.c_str(), sizeof current_call - 1);
  std::vector<const TensorMeta*> metas;
  for (size_t i = 0; i < c.metas.size(); ++i) metas.push_back(c.absent[i] ? nullptr : &c.metas[i]);
  try {
    SmallVector<TensorMeta, 1> outs;
    const Status s = infer_call(CallMeta{&op, c.attrs.get(), metas, {}}, &outs);
    if (!s.ok()) {
      if (s.message().empty()) findings.add(cat(what, ": is refused without a word"));
      if (s.code() == ErrorCode::kInternal) findings.add(cat(what, ": ", s.message()));
    }
    if (!bounded(op)) return;
    if (s.ok() && elements(c, outs) > 1 << 14) return;  // legal, but too large to run here
    if (elements(c, {}) > 1 << 14) return;
    run_call(op, c, dice);
  } catch (const Error& e) {
    if (e.code() == ErrorCode::kInternal) findings.add(cat(what, ": ", e.message()));
  } catch (const std::exception& e) {
    findings.add(cat(what, ": throws what is no rutile::Error: ", e.what()));
  }
}

uint64_t option(const char* name, uint64_t otherwise) {
  const char* v = std::getenv(name);
  return v ? std::strtoull(v, nullptr, 10) : otherwise;
}

}  // namespace

void check_fuzz(const OpDef& op, Findings& findings) {
  CrashReport report;
  const SampleList list = samples::samples_of(op);
  Allocator& memory = allocator(kCpu);
  memory.set_limit(memory.stats().live_bytes + (int64_t{1} << 27));
  Dice dice(option("RUTILE_FUZZ_SEED", 0x5eed));
  const uint64_t calls = option("RUTILE_FUZZ_CALLS", 300);
  for (uint64_t i = 0; i < calls && !findings.enough(); ++i) {
    const bool huge = i % 3 == 0;
    try_call(op, random_call(op, list, dice, huge), dice, findings);
  }
  memory.set_limit(0);
}

}  // namespace rutile::harness
