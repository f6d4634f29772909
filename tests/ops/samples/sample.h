// SPDX-License-Identifier: Apache-2.0
// Samples: what an op is to be tried with. One generator per op, in samples/<family>.cc; the tests
// of tests/ops, tests/meta and the benchmarks all come from it. Nothing here runs an op.
//
//   RUTILE_SAMPLES(add) { s.binary(kNumbers); }              // dtypes, broadcasts, strides,
//   empties RUTILE_SAMPLES(log) { s.unary(kFloats, positive()); }
//
//   RUTILE_SAMPLES(conv2d) {
//     s.add({in({2, 6, 9, 9}), in({37, 6, 3, 3})}, Conv2dAttrs{.pad = 1}).dtypes(kFloats);
//     s.add({in({2, 6, 9, 9}).channels_last(), in({4, 6, 1, 1}), in({4})}).name("bias");
//     s.error({in({2, 6, 9, 9}), in({4, 5, 3, 3})}, ErrorCode::kValue, "input channels");
//   }
//
//   RUTILE_SAMPLES(max_pool2d) {
//     s.add({in({1, 3, 8, 8}).distinct()}, PoolAttrs{.kernel = 2})     // no ties: differentiable
//         .dtypes(kFloats).no_second_order("second derivatives are zero");
//   }
//
// Inputs without `.as(dtype)` take each dtype of the sample's list in turn (default: f32 alone);
// the gradient check runs every sample once, with its floating inputs in f64.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "rutile/core/rng.h"
#include "rutile/core/tensor.h"
#include "rutile/ops/attrs.h"
#include "rutile/ops/op_def.h"

namespace rutile::samples {

using DTypes = std::vector<DType>;
extern const DTypes kFloats;     // f32 f64 bf16 f16
extern const DTypes kInts;       // the eight integer types
extern const DTypes kNumbers;    // kFloats and kInts
extern const DTypes kEveryType;  // kNumbers and bool
extern const DTypes kComplexes;  // c64 c128
DTypes joined(const DTypes& a, const DTypes& b);

// ---- Values -----------------------------------------------------------------------------------

// How the elements of an input are drawn (from a Philox key made of op, sample and input).
struct Fill {
  enum Kind {
    kDefault,   // floats: uniform in [-2, 2); signed: [-5, 5); unsigned: [0, 10); bool: both
    kUniform,   // [lo, hi), integer dtypes round down
    kDistinct,  // shuffled, evenly spaced in [lo, hi): no ties, and no near-ties when it is small
    kValues,    // `values`, repeated
  };
  Kind kind = kDefault;
  double lo = -2, hi = 2;
  std::vector<double> avoid;  // values are moved out of [p - margin, p + margin]
  double margin = 0.05;
  std::vector<double> values;
};

Fill uniform(double lo, double hi);
inline Fill positive() { return uniform(0.2, 3.0); }
inline Fill ints(int64_t lo, int64_t hi) {  // in [lo, hi)
  return uniform(static_cast<double>(lo), static_cast<double>(hi));
}
Fill distinct(double lo = -2, double hi = 2);
Fill values(std::vector<double> v);
// Default values away from kinks: away_from({0}) for relu.
Fill away_from(std::vector<double> points, double margin = 0.05);
// +-0, +-inf, NaN, large, tiny and ordinary numbers.
Fill specials();
// The smallest and largest integers of every type, and small ones.
Fill extremes();

// ---- Inputs -----------------------------------------------------------------------------------

enum class View : uint8_t {
  kContiguous,
  kChannelsLast,  // dimension 1 fastest
  kTransposed,    // the last two dimensions swapped in memory
  kSwapped,       // dimensions 1 and 2 swapped in memory
  kGaps,          // every second element of a larger tensor, from an offset; NaN between
  kTight,         // every second element of rows that begin and end with one
  kExpanded,      // stride 0 in the first dimension (in all of them with rank 1)
};

struct Input {
  Shape shape;
  OptionalDType dtype;  // unset: the sample's
  Fill fill;
  View view = View::kContiguous;
  bool differentiable = true;  // if its dtype is floating
  bool absent = false;         // an optional input left out

  Input as(DType t) const;
  Input filled(Fill f) const;
  Input uniform(double lo, double hi) const { return filled(samples::uniform(lo, hi)); }
  Input positive() const { return filled(samples::positive()); }
  Input ints(int64_t lo, int64_t hi) const { return filled(samples::ints(lo, hi)); }
  Input distinct(double lo = -2, double hi = 2) const { return filled(samples::distinct(lo, hi)); }
  Input values(std::vector<double> v) const { return filled(samples::values(std::move(v))); }
  Input away_from(std::vector<double> points, double margin = 0.05) const {
    return filled(samples::away_from(std::move(points), margin));
  }
  Input viewed(View v) const;
  Input channels_last() const { return viewed(View::kChannelsLast); }
  Input transposed() const { return viewed(View::kTransposed); }
  Input swapped() const { return viewed(View::kSwapped); }
  Input gaps() const { return viewed(View::kGaps); }
  Input tight() const { return viewed(View::kTight); }
  Input expanded() const { return viewed(View::kExpanded); }
  Input constant() const;  // not differentiable, whatever its dtype
};

inline Input in(const Shape& shape) {
  Input i;
  i.shape = shape;
  return i;
}
// Indices, labels: i64 in [lo, hi).
inline Input index_in(const Shape& shape, int64_t lo, int64_t hi) {
  return in(shape).as(DType::kI64).ints(lo, hi);
}
inline Input bool_in(const Shape& shape) { return in(shape).as(DType::kBool); }
// An optional input that is left out.
Input none();

// The tensor of an input; the same for the same key.
Tensor make_tensor(const Input& input, DType dtype, PhiloxKey key);
// The same elements in another physical placement: strides, or a blocked layout with zero padding.
Tensor place(const Tensor& t, const TensorMeta& like);
// Elements in row-major order as doubles (64-bit integers beyond 2^53 lose digits), complex ones as
// two.
std::vector<double> to_doubles(const Tensor& t);
// True if all that a blocked layout adds to the tensor is zero.
bool padding_is_zero(const Tensor& t);

// ---- Samples ----------------------------------------------------------------------------------

struct Tolerance {
  double rtol = 0, atol = 0;  // |got - want| <= atol + rtol |want|
};

struct Sample {
  const OpDef* op = nullptr;
  int index = 0;  // among the op's samples; part of the key of its values
  std::string name;
  std::vector<Input> inputs;
  AnyAttrs attrs;
  DTypes dtypes{DType::kF32};
  std::map<DType, Tolerance> tolerances;  // overrides of default_tolerance
  std::string no_gradient;                // why the gradient is not checked; empty: it is
  std::string no_second_order;            // why its gradient is not
  std::string not_deterministic;          // why two runs may differ; empty: never

  // The inputs with the sweep's dtype in force.
  std::vector<Tensor> make_inputs(DType sweep) const;
  Tolerance tolerance(DType t) const;
  std::string describe(DType sweep) const;  // "conv2d #3 bias f32[2,6,9,9] ... (stride=[2,2])"
};

// A call that must be refused before anything runs.
struct ErrorSample {
  const OpDef* op = nullptr;
  std::vector<Input> inputs;
  AnyAttrs attrs;
  ErrorCode code = ErrorCode::kValue;
  std::string message;  // a part of the error's text
};

// Sets options of the samples just added.
class SampleList;
class SampleGroup {
 public:
  SampleGroup(SampleList& list, size_t first) : list_(list), first_(first) {}
  SampleGroup& name(std::string_view text);
  SampleGroup& dtypes(const DTypes& sweep);
  SampleGroup& tolerance(DType t, double rtol, double atol);
  SampleGroup& tolerance(DType t, double both) { return tolerance(t, both, both); }
  // The gradient is not checked numerically (it still has to run), with the reason.
  SampleGroup& no_gradient(std::string_view reason);
  SampleGroup& no_second_order(std::string_view reason);

 private:
  SampleList& list_;
  size_t first_;
};

class SampleList {
 public:
  explicit SampleList(const OpDef& definition) : op(definition) {}

  SampleGroup add(std::vector<Input> inputs) { return add_any(std::move(inputs), AnyAttrs()); }
  template <class A>
  SampleGroup add(std::vector<Input> inputs, const A& attrs) {
    return add_any(std::move(inputs), wrap(attrs));
  }

  // Sweeps for an op with one tensor input: dtypes, shapes (0-d, empty, odd, long), strides,
  // channels-last with 1, 6 and 37 channels, the special numbers for floats and the extreme ones
  // for integers.
  SampleGroup unary(const DTypes& dtypes, const Fill& fill = {}) {
    return unary_any(dtypes, fill, AnyAttrs());
  }
  template <class A>
  SampleGroup unary(const DTypes& dtypes, const Fill& fill, const A& attrs) {
    return unary_any(dtypes, fill, wrap(attrs));
  }
  // The same for two inputs that broadcast against each other.
  SampleGroup binary(const DTypes& dtypes, const Fill& a = {}, const Fill& b = {}) {
    return binary_any(dtypes, a, b, AnyAttrs());
  }
  template <class A>
  SampleGroup binary(const DTypes& dtypes, const Fill& a, const Fill& b, const A& attrs) {
    return binary_any(dtypes, a, b, wrap(attrs));
  }

  // Complex inputs: fewer shapes, since strides and broadcasting are the same for all functions.
  SampleGroup complex_unary(const Fill& fill = {});
  SampleGroup complex_binary(const Fill& a = {}, const Fill& b = {});

  void error(std::vector<Input> inputs, ErrorCode code, std::string_view message) {
    error_any(std::move(inputs), AnyAttrs(), code, message);
  }
  template <class A>
  void error(std::vector<Input> inputs, const A& attrs, ErrorCode code, std::string_view message) {
    error_any(std::move(inputs), wrap(attrs), code, message);
  }

  const OpDef& op;
  std::vector<Sample> samples;
  std::vector<ErrorSample> errors;

 private:
  template <class A>
  AnyAttrs wrap(const A& attrs) const {
    // In a program that links librutile.so the two descriptions are copies of one another.
    const bool same = op.attrs && op.attrs->size == sizeof(A) &&
                      std::string_view(op.attrs->field_names) == A::kFieldNames;
    RUTILE_CHECK(same, cat("attributes of another op in a sample of ", op.name));
    return AnyAttrs(op.attrs, &attrs);
  }
  SampleGroup add_any(std::vector<Input> inputs, AnyAttrs attrs);
  SampleGroup unary_any(const DTypes& dtypes, const Fill& fill, const AnyAttrs& attrs);
  SampleGroup binary_any(const DTypes& dtypes, const Fill& a, const Fill& b, const AnyAttrs& attrs);
  void error_any(std::vector<Input> inputs, AnyAttrs attrs, ErrorCode code,
                 std::string_view message);
};

// ---- The register -----------------------------------------------------------------------------

using Generator = void (*)(SampleList&);
bool register_samples(const char* op_name, Generator generate);
// Names with a generator, sorted; some may be no op (tests/meta complains).
std::vector<std::string> names_with_samples();
bool has_samples(const OpDef& op);
// The op's samples, made anew; empty if it has no generator.
SampleList samples_of(const OpDef& op);

// rtol = atol: f64 1e-12, f32 1e-5, f16 2e-3, bf16 1.6e-2, complex types as their parts,
// other dtypes exact.
Tolerance default_tolerance(DType t);

}  // namespace rutile::samples

// Followed by the generator's body, which fills `s`.
#define RUTILE_SAMPLES(op_name)                                            \
  static void samples_of_##op_name(::rutile::samples::SampleList& s);      \
  [[maybe_unused]] static const bool registered_##op_name =                \
      ::rutile::samples::register_samples(#op_name, samples_of_##op_name); \
  static void samples_of_##op_name([[maybe_unused]] ::rutile::samples::SampleList& s)
