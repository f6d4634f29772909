// SPDX-License-Identifier: Apache-2.0
// The register of sample generators and the ready-made sweeps.
#include "rutile/tests/ops/samples/sample.h"

#include <array>

namespace rutile::samples {

const DTypes kFloats{DType::kF32, DType::kF64, DType::kBF16, DType::kF16};
const DTypes kComplexes{DType::kC64, DType::kC128};
const DTypes kInts{DType::kI64, DType::kI32, DType::kI16, DType::kI8,
                   DType::kU64, DType::kU32, DType::kU16, DType::kU8};

namespace {

std::map<std::string, Generator>& generators() {
  static std::map<std::string, Generator> map;
  return map;
}

PhiloxKey key_of_op(std::string_view name) {
  uint64_t h = 0xcbf29ce484222325u;
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return {h};
}

const char* view_name(View v) {
  constexpr const char* kNames[] = {"",           " channels-last", " transposed", " swapped",
                                    " with gaps", " tight",         " expanded"};
  return kNames[static_cast<int>(v)];
}

// The floating types and the integers among them, for samples about special numbers.
DTypes floats_of(const DTypes& all) {
  DTypes out;
  for (const DType t : all) {
    if (is_floating(t)) out.push_back(t);
  }
  return out;
}

DTypes ints_of(const DTypes& all) {
  DTypes out;
  for (const DType t : all) {
    if (is_integral(t)) out.push_back(t);
  }
  return out;
}

// One floating type if there is one: shapes and strides need no sweep.
DTypes main_dtype(const DTypes& all) {
  for (const DType t : all) {
    if (t == DType::kF32) return {t};
  }
  return {all.front()};
}

}  // namespace

DTypes joined(const DTypes& a, const DTypes& b) {
  DTypes all = a;
  all.insert(all.end(), b.begin(), b.end());
  return all;
}

const DTypes kNumbers = joined(kFloats, kInts);
const DTypes kEveryType = joined(kNumbers, {DType::kBool});

Tolerance default_tolerance(DType t) {
  switch (t) {
    case DType::kF64:
    case DType::kC128:
      return {1e-12, 1e-12};
    case DType::kF32:
    case DType::kC64:
      return {1e-5, 1e-5};
    case DType::kF16:
      return {2e-3, 2e-3};
    case DType::kBF16:
      return {1.6e-2, 1.6e-2};
    default:
      return {0, 0};
  }
}

Tolerance Sample::tolerance(DType t) const {
  auto it = tolerances.find(t);
  return it == tolerances.end() ? default_tolerance(t) : it->second;
}

std::vector<Tensor> Sample::make_inputs(DType sweep) const {
  std::vector<Tensor> out;
  const PhiloxKey key = fold_in(key_of_op(op->name), static_cast<uint64_t>(index));
  for (size_t i = 0; i < inputs.size(); ++i) {
    const DType t = inputs[i].dtype.set ? inputs[i].dtype.value : sweep;
    out.push_back(make_tensor(inputs[i], t, fold_in(key, i)));
  }
  return out;
}

std::string Sample::describe(DType sweep) const {
  std::string text = cat(op->name, " #", index, name.empty() ? "" : " ", name, " (");
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Input& in = inputs[i];
    if (i) text += ", ";
    if (in.absent) {
      text += "none";
    } else {
      text += cat(dtype_name(in.dtype.set ? in.dtype.value : sweep), in.shape, view_name(in.view));
    }
  }
  text += ")";
  if (op->attrs && attrs.get()) text += cat(" ", attrs_to_string(*op->attrs, attrs.get()));
  return text;
}

SampleGroup& SampleGroup::name(std::string_view text) {
  for (size_t i = first_; i < list_.samples.size(); ++i) list_.samples[i].name = text;
  return *this;
}

SampleGroup& SampleGroup::dtypes(const DTypes& sweep) {
  for (size_t i = first_; i < list_.samples.size(); ++i) list_.samples[i].dtypes = sweep;
  return *this;
}

SampleGroup& SampleGroup::tolerance(DType t, double rtol, double atol) {
  for (size_t i = first_; i < list_.samples.size(); ++i) {
    list_.samples[i].tolerances[t] = {rtol, atol};
  }
  return *this;
}

SampleGroup& SampleGroup::no_gradient(std::string_view reason) {
  for (size_t i = first_; i < list_.samples.size(); ++i) list_.samples[i].no_gradient = reason;
  return *this;
}

SampleGroup& SampleGroup::no_second_order(std::string_view reason) {
  for (size_t i = first_; i < list_.samples.size(); ++i) list_.samples[i].no_second_order = reason;
  return *this;
}

SampleGroup SampleList::add_any(std::vector<Input> inputs, AnyAttrs attrs) {
  Sample s;
  s.op = &op;
  s.index = static_cast<int>(samples.size());
  s.inputs = std::move(inputs);
  s.attrs = attrs.info() || !op.attrs ? std::move(attrs) : AnyAttrs(op.attrs, nullptr);
  samples.push_back(std::move(s));
  return SampleGroup(*this, samples.size() - 1);
}

void SampleList::error_any(std::vector<Input> inputs, AnyAttrs attrs, ErrorCode code,
                           std::string_view message) {
  if (!attrs.info() && op.attrs) attrs = AnyAttrs(op.attrs, nullptr);
  errors.push_back({&op, std::move(inputs), std::move(attrs), code, std::string(message)});
}

SampleGroup SampleList::unary_any(const DTypes& dtypes, const Fill& fill, const AnyAttrs& attrs) {
  const size_t first = samples.size();
  const DTypes one = main_dtype(dtypes);
  add_any({in({2, 3, 5}).filled(fill)}, attrs).dtypes(dtypes);
  for (const Shape& shape : {Shape{}, Shape{0}, Shape{1}, Shape{2, 0, 3}, Shape{3, 1, 4, 1, 2}}) {
    add_any({in(shape).filled(fill)}, attrs).dtypes(one);
  }
  for (const View view : {View::kTransposed, View::kGaps, View::kExpanded}) {
    add_any({in({3, 4, 5}).filled(fill).viewed(view)}, attrs).dtypes(one);
  }
  for (const int64_t channels : {1, 6, 37}) {
    add_any({in({2, channels, 3, 2}).filled(fill).channels_last()}, attrs).dtypes(one);
  }
  add_any({in({67, 1033}).filled(fill)}, attrs)
      .name("long")
      .dtypes(dtypes)
      .no_gradient("a long run for kernels; the short ones check the gradient");
  const DTypes floats = floats_of(dtypes);
  if (op.elementwise && !floats.empty()) {
    add_any({in({101}).filled(specials())}, attrs)
        .name("special numbers")
        .dtypes(floats)
        .no_gradient("infinities and NaN have no difference quotient");
  }
  const DTypes integers = ints_of(dtypes);
  if (op.elementwise && !integers.empty()) {
    add_any({in({15}).filled(extremes())}, attrs).name("extreme integers").dtypes(integers);
  }
  return SampleGroup(*this, first);
}

SampleGroup SampleList::binary_any(const DTypes& dtypes, const Fill& a, const Fill& b,
                                   const AnyAttrs& attrs) {
  const size_t first = samples.size();
  const DTypes one = main_dtype(dtypes);
  add_any({in({2, 3, 5}).filled(a), in({2, 3, 5}).filled(b)}, attrs).dtypes(dtypes);
  using Pair = std::array<Shape, 2>;
  for (const auto& [x, y] :
       {Pair{Shape{}, Shape{}}, Pair{Shape{0}, Shape{1}}, Pair{Shape{2, 0, 3}, Shape{3}},
        Pair{Shape{4}, Shape{}}, Pair{Shape{}, Shape{2, 3}}, Pair{Shape{2, 3, 4}, Shape{4}},
        Pair{Shape{3, 1}, Shape{1, 5}}, Pair{Shape{2, 1, 3}, Shape{4, 1}},
        Pair{Shape{2, 6, 3, 2}, Shape{1, 6, 1, 1}}, Pair{Shape{1, 6, 1, 1}, Shape{2, 6, 3, 2}}}) {
    add_any({in(x).filled(a), in(y).filled(b)}, attrs).dtypes(one);
  }
  for (const View view : {View::kTransposed, View::kGaps, View::kExpanded}) {
    add_any({in({3, 4, 5}).filled(a).viewed(view), in({3, 4, 5}).filled(b)}, attrs).dtypes(one);
    add_any({in({3, 4, 5}).filled(a), in({4, 5}).filled(b).viewed(view)}, attrs).dtypes(one);
  }
  for (const int64_t channels : {1, 6, 37}) {
    add_any({in({2, channels, 3, 2}).filled(a).channels_last(),
             in({2, channels, 3, 2}).filled(b).channels_last()},
            attrs)
        .dtypes(one);
  }
  add_any({in({67, 1033}).filled(a), in({67, 1033}).filled(b)}, attrs)
      .name("long")
      .dtypes(dtypes)
      .no_gradient("a long run for kernels; the short ones check the gradient");
  const DTypes floats = floats_of(dtypes);
  if (op.elementwise && !floats.empty()) {
    add_any({in({20, 1}).filled(specials()), in({1, 20}).filled(specials())}, attrs)
        .name("special numbers")
        .dtypes(floats)
        .no_gradient("infinities and NaN have no difference quotient");
  }
  const DTypes integers = ints_of(dtypes);
  if (op.elementwise && !integers.empty()) {
    add_any({in({15, 1}).filled(extremes()), in({1, 15}).filled(extremes())}, attrs)
        .name("extreme integers")
        .dtypes(integers);
  }
  return SampleGroup(*this, first);
}

SampleGroup SampleList::complex_unary(const Fill& fill) {
  const size_t first = samples.size();
  error({}, ErrorCode::kValue, "inputs, got 0");  // many refuse no dtype
  add({in({2, 3, 5}).filled(fill)}).dtypes(kComplexes);
  for (const Shape& shape : {Shape{}, Shape{2, 0, 3}}) {
    add({in(shape).filled(fill)}).dtypes({DType::kC64});
  }
  for (const View view : {View::kTransposed, View::kGaps, View::kExpanded}) {
    add({in({3, 4, 5}).filled(fill).viewed(view)}).dtypes({DType::kC64});
  }
  add({in({37, 1033}).filled(fill)})
      .name("long")
      .dtypes({DType::kC64})
      .no_gradient("a long run for kernels; the short ones check the gradient");
  return SampleGroup(*this, first);
}

SampleGroup SampleList::complex_binary(const Fill& a, const Fill& b) {
  const size_t first = samples.size();
  add({in({2, 3, 5}).filled(a), in({2, 3, 5}).filled(b)}).dtypes(kComplexes);
  using Pair = std::array<Shape, 2>;
  for (const auto& [x, y] : {Pair{Shape{}, Shape{}}, Pair{Shape{2, 0, 3}, Shape{3}},
                             Pair{Shape{4}, Shape{}}, Pair{Shape{2, 1, 3}, Shape{4, 1}}}) {
    add({in(x).filled(a), in(y).filled(b)}).dtypes({DType::kC64});
  }
  for (const View view : {View::kTransposed, View::kGaps, View::kExpanded}) {
    add({in({3, 4, 5}).filled(a).viewed(view), in({4, 5}).filled(b)}).dtypes({DType::kC64});
  }
  add({in({37, 1033}).filled(a), in({37, 1033}).filled(b)})
      .name("long")
      .dtypes({DType::kC64})
      .no_gradient("a long run for kernels; the short ones check the gradient");
  return SampleGroup(*this, first);
}

bool register_samples(const char* op_name, Generator generate) {
  const bool is_new = generators().emplace(op_name, generate).second;
  RUTILE_CHECK(is_new, cat("two sample generators for ", op_name));
  return true;
}

std::vector<std::string> names_with_samples() {
  std::vector<std::string> names;
  for (const auto& [name, generate] : generators()) names.push_back(name);
  return names;
}

bool has_samples(const OpDef& op) { return generators().count(op.name) != 0; }

SampleList samples_of(const OpDef& op) {
  SampleList list(op);
  auto it = generators().find(op.name);
  if (it != generators().end()) it->second(list);
  return list;
}

}  // namespace rutile::samples
