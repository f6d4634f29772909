// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/fused.h"

#include <algorithm>
#include <charconv>

#include "rutile/ops/activation.h"
#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/special.h"
#include "rutile/ops/special_more.h"

namespace rutile::ops {
namespace {

bool is_elementwise(const OpDef& op) {
  static const std::vector<const OpDef*> known = {
#define RUTILE_UNARY(constant, functor) &constant,
#define RUTILE_BINARY(constant, functor) &constant,
#define RUTILE_TERNARY(constant, functor) &constant,
#include "rutile/ops/elementwise_list.inc"
#undef RUTILE_UNARY
#undef RUTILE_BINARY
#undef RUTILE_TERNARY
      &kCast};
  for (const OpDef* k : known) {
    if (k == &op) return true;
  }
  return false;
}

bool is_reduction(const OpDef& op) {
  return &op == &kSum || &op == &kMean || &op == &kMax || &op == &kMin || &op == &kSumToShape;
}

std::string attr_text(const AttrValue& v) {
  const auto* s = std::get_if<std::string>(&v);
  return s ? *s : to_string(v);
}

// Cuts the next word off the front.
std::string_view word(std::string_view* text) {
  while (!text->empty() && text->front() == ' ') text->remove_prefix(1);
  const size_t end = std::min(text->find(' '), text->size());
  const std::string_view w = text->substr(0, end);
  text->remove_prefix(end);
  return w;
}

Status parse_number(std::string_view w, int limit, int* out) {
  const auto [p, ec] = std::from_chars(w.data(), w.data() + w.size(), *out);
  if (ec != std::errc() || p != w.data() + w.size() || *out < 0 || *out >= limit) {
    return value_error(cat("program: '", w, "' is no number below ", limit));
  }
  return Status();
}

Status parse_value(std::string_view w, int limit, int* out) {
  if (w.empty() || w.front() != '%') return value_error(cat("program: '", w, "' is no value"));
  return parse_number(w.substr(1), limit, out);
}

Status parse_step(std::string_view text, FusedProgram* p) {
  FusedProgram::Step step;
  const std::string_view name = word(&text);
  step.op = find_op(name);
  if (!step.op) return value_error(cat("program: there is no op '", name, "'"));
  step.attrs = AnyAttrs(step.op->attrs, nullptr);
  const int values = p->inputs + static_cast<int>(p->steps.size());
  for (std::string_view w = word(&text); !w.empty(); w = word(&text)) {
    const size_t equals = w.find('=');
    if (equals == std::string_view::npos) {
      int v = 0;
      RUTILE_RETURN_IF_ERROR(parse_value(w, values, &v));
      step.in.push_back(v);
      continue;
    }
    const int field = step.op->attrs ? field_index(*step.op->attrs, w.substr(0, equals)) : -1;
    if (field < 0) return value_error(cat("program: ", name, " has no attribute of '", w, "'"));
    AttrValue v;
    if (!parse_attr_value(w.substr(equals + 1), &v).ok()) v = std::string(w.substr(equals + 1));
    RUTILE_RETURN_IF_ERROR(step.op->attrs->set(step.attrs.get_mutable(), field, v));
  }
  p->steps.push_back(std::move(step));
  return Status();
}

const std::string& text_of(const void* attrs) {
  return static_cast<const FusedElementwiseAttrs*>(attrs)->program;
}

Status infer_step(const FusedProgram::Step& s, const std::vector<TensorMeta>& values,
                  TensorMeta* out) {
  if (!is_elementwise(*s.op) && !is_reduction(*s.op)) {
    return value_error(cat("program: ", s.op->name, " is no elementwise op and no reduction"));
  }
  if (s.in.size() != s.op->num_inputs) {
    return value_error(
        cat("program: ", s.op->name, " expects ", s.op->num_inputs, " inputs, got ", s.in.size()));
  }
  SmallVector<const TensorMeta*, 3> in;
  for (const int v : s.in) in.push_back(&values[static_cast<size_t>(v)]);
  const CallMeta call{s.op, s.attrs.get(), in, {}};
  Status status = s.op->infer(call, out);
  if (status.ok()) return status;
  return Status(status.code(), cat("program: ", s.op->name, " ", status.message()));
}

Status infer_fused(const CallMeta& c, TensorMeta* out) {
  FusedProgram p;
  RUTILE_RETURN_IF_ERROR(FusedProgram::parse(text_of(c.attrs), &p));
  if (p.inputs != c.num_inputs()) {
    return value_error(cat("program: expects ", p.inputs, " inputs, got ", c.num_inputs()));
  }
  std::vector<TensorMeta> values;
  for (int i = 0; i < c.num_inputs(); ++i) values.push_back(c.in(i));
  for (const FusedProgram::Step& s : p.steps) {
    TensorMeta m;
    RUTILE_RETURN_IF_ERROR(infer_step(s, values, &m));
    values.push_back(m);
  }
  for (size_t i = 0; i < p.outputs.size(); ++i) {
    out[i] = values[static_cast<size_t>(p.outputs[i])];
  }
  return Status();
}

int count_fused(const CallMeta& c) {
  FusedProgram p;
  if (!FusedProgram::parse(text_of(c.attrs), &p).ok()) return 1;  // infer says what is wrong
  return static_cast<int>(p.outputs.size());
}

TensorList compose_fused(const void* attrs, std::span<const Tensor> inputs) {
  FusedProgram p;
  throw_if_error(FusedProgram::parse(text_of(attrs), &p));
  std::vector<Tensor> values(inputs.begin(), inputs.end());
  for (const FusedProgram::Step& s : p.steps) {
    SmallVector<Tensor, 3> in;
    for (const int v : s.in) in.push_back(values[static_cast<size_t>(v)]);
    Tensor y;
    call(*s.op, s.attrs.get(), in, {&y, 1});
    values.push_back(y);
  }
  TensorList out;
  for (const int v : p.outputs) out.push_back(values[static_cast<size_t>(v)]);
  return out;
}

double fused_flops(const CallMeta& c) {
  FusedProgram p;
  if (!FusedProgram::parse(text_of(c.attrs), &p).ok()) return 0;
  double most = 0;  // elements that a step runs over
  for (const TensorMeta* m : c.inputs) most = std::max(most, elements(*m));
  for (const TensorMeta& m : c.outputs) most = std::max(most, elements(m));
  return static_cast<double>(p.steps.size()) * most;
}

}  // namespace

int FusedProgram::add(const OpDef& op, std::span<const int> in, const void* attrs) {
  Step s;
  s.op = &op;
  s.attrs = AnyAttrs(op.attrs, attrs);
  for (const int v : in) s.in.push_back(v);
  steps.push_back(std::move(s));
  return inputs + static_cast<int>(steps.size()) - 1;
}

std::string FusedProgram::text() const {
  std::string out = cat(inputs, ":");
  for (size_t k = 0; k < steps.size(); ++k) {
    const Step& s = steps[k];
    out += cat(k ? "; " : " ", s.op->name);
    for (const int v : s.in) out += cat(" %", v);
    if (!s.op->attrs) continue;
    const AnyAttrs defaults(s.op->attrs, nullptr);
    for (int i = 0; i < s.op->attrs->num_fields; ++i) {
      const std::string value = attr_text(s.op->attrs->get(s.attrs.get(), i));
      if (value == attr_text(s.op->attrs->get(defaults.get(), i))) continue;
      out += cat(" ", field_name(*s.op->attrs, i), "=", value);
    }
  }
  out += " ->";
  for (const int v : outputs) out += cat(" %", v);
  return out;
}

Status FusedProgram::parse(std::string_view text, FusedProgram* p) {
  *p = FusedProgram();
  const size_t colon = text.find(':'), arrow = text.rfind("->");
  if (colon == std::string_view::npos || arrow == std::string_view::npos || arrow < colon) {
    return value_error(cat("program: '", text, "' lacks 'inputs:' or '-> outputs'"));
  }
  RUTILE_RETURN_IF_ERROR(parse_number(text.substr(0, colon), kMaxFusedInputs + 1, &p->inputs));
  std::string_view steps = text.substr(colon + 1, arrow - colon - 1);
  while (steps.find_first_not_of(' ') != std::string_view::npos) {
    const size_t end = std::min(steps.find(';'), steps.size());
    if (p->steps.size() == kMaxFusedSteps) {
      return value_error(cat("program: has more than ", kMaxFusedSteps, " steps"));
    }
    RUTILE_RETURN_IF_ERROR(parse_step(steps.substr(0, end), p));
    steps.remove_prefix(std::min(end + 1, steps.size()));
  }
  const int values = p->inputs + static_cast<int>(p->steps.size());
  std::string_view outputs = text.substr(arrow + 2);
  for (std::string_view w = word(&outputs); !w.empty(); w = word(&outputs)) {
    int v = 0;
    RUTILE_RETURN_IF_ERROR(parse_value(w, values, &v));
    p->outputs.push_back(v);
  }
  if (p->inputs == 0 || p->outputs.empty()) {
    return value_error("program: has no input or no output");
  }
  return Status();
}

constinit const OpDef kFusedElementwise =
    define({.name = "fused_elementwise",
            .inputs = {"xs*"},
            .outputs = {"ys*"},
            .attrs = attrs_of<FusedElementwiseAttrs>(),
            .infer = infer_fused,
            .flops = fused_flops,
            .count_outputs = count_fused,
            .compose = compose_fused,
            .doc = "A straight-line program of elementwise ops and reductions, run in one pass "
                   "over memory."});

TensorList fused_elementwise(const FusedProgram& program, std::span<const Tensor> xs) {
  const FusedElementwiseAttrs attrs{program.text()};
  return call_n(kFusedElementwise, &attrs, xs);
}

namespace {
bool known(DType t) {
  return t == DType::kBool || t == DType::kI32 || t == DType::kI64 || is_floating(t);
}
}  // namespace

bool fusible(const CallMeta& call) {
  if (!is_elementwise(*call.op)) return false;
  for (const TensorMeta* m : call.inputs) {
    if (!m || !known(m->dtype)) return false;
  }
  for (const TensorMeta& m : call.outputs) {
    if (!known(m.dtype)) return false;
  }
  const bool divides = call.op == &kFloorDiv || call.op == &kRemainder;
  return !divides || is_floating(call.in(0).dtype);
}

bool fusible_reduction(const CallMeta& call, uint32_t* reduced) {
  if (!is_reduction(*call.op) || !call.has(0)) return false;
  const TensorMeta &x = call.in(0), &y = call.out();
  // A reduction of nothing, or of one element each, is better off alone.
  if (!known(x.dtype) || !known(y.dtype) || x.numel() == 0 || x.numel() == y.numel()) return false;
  *reduced = reduced_mask(call);
  return true;
}

Shape kept_shape(const Shape& shape, uint32_t reduced) {
  Shape kept = shape;
  for (int i = 0; i < kept.rank(); ++i) {
    if (reduced >> i & 1u) kept[i] = 1;
  }
  return kept;
}

double fused_cost(const OpDef& op) {
  for (const OpDef* dear :
       {&kGcd,      &kLcm,         &kNextafter, &kCbrt,      &kSinc,     &kErfinv,
        &kLgamma,   &kDigamma,     &kPolygamma, &kI0,        &kI1,       &kIgamma,
        &kIgammac,  &kIgammaGradA, &kZeta,      &kNdtr,      &kLogNdtr,  &kNdtri,
        &kErfcx,    &kI0e,         &kI1e,       &kBesselJ0,  &kBesselJ1, &kBesselY0,
        &kBesselY1, &kBesselK0,    &kBesselK1,  &kBesselK0e, &kBesselK1e}) {
    if (dear == &op) return 8;
  }
  for (const OpDef* dear : {&kPow, &kFloorDiv, &kRemainder, &kTruncDiv, &kFmod}) {
    if (dear == &op) return 1.2;
  }
  for (const OpDef* mean :
       {&kExp,     &kExp2,    &kExpm1, &kLog,      &kLog2,       &kLog1p,     &kLog10,      &kTanh,
        &kErf,     &kSigmoid, &kSilu,  &kSiluGrad, &kSoftplus,   &kGelu,      &kGeluGrad,   &kElu,
        &kEluGrad, &kSelu,    &kCelu,  &kMish,     &kLogSigmoid, &kLogAddExp, &kLogAddExp2, &kXlogy,
        &kXlog1py, &kSin,     &kCos,   &kTan,      &kAsin,       &kAcos,      &kAtan,       &kAtan2,
        &kSinh,    &kCosh,    &kAsinh, &kAcosh,    &kAtanh,      &kHypot,     &kErfc}) {
    if (mean == &op) return 0.4;
  }
  return 0.06;
}

}  // namespace rutile::ops
