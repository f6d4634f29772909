// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/codegen_text.h"

#include <cmath>
#include <cstdlib>
#include <map>

#include "rutile/kernels/functors.h"
#include "rutile/ops/activation.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/special_more.h"

namespace rutile::cuda {
namespace {

struct Functor {
  const char* name;
  kernels::Domain domain;
};

const std::map<const OpDef*, Functor>& functors() {
  static const std::map<const OpDef*, Functor> all = {
#define RUTILE_UNARY(constant, functor) \
  {&ops::constant, {#functor, kernels::functor<kernels::StdMath>::kDomain}},
#define RUTILE_BINARY(constant, functor) RUTILE_UNARY(constant, functor)
#define RUTILE_TERNARY(constant, functor) RUTILE_UNARY(constant, functor)
#include "rutile/ops/elementwise_list.inc"
#undef RUTILE_UNARY
#undef RUTILE_BINARY
#undef RUTILE_TERNARY
  };
  return all;
}

std::string text_of(const TensorMeta& m) { return cat(dtype_name(m.dtype), m.shape); }

}  // namespace

const char* compute_type(DType t) {
  switch (t) {
    case DType::kBool:
      return "bool";
    case DType::kI32:
      return "int";
    case DType::kI64:
      return "g::int64";
    case DType::kF64:
      return "double";
    default:
      return "float";
  }
}
const char* storage_type(DType t) {
  switch (t) {
    case DType::kBool:
      return "g::Bool";
    case DType::kF16:
      return "g::F16";
    case DType::kBF16:
      return "g::BF16";
    default:
      return compute_type(t);
  }
}
int64_t type_size(const std::string& type) {
  return type == "bool" ? 1 : type == "double" || type == "g::int64" ? 8 : 4;
}

DType computed_in(const OpDef& op, DType t) {
  const auto at = functors().find(&op);
  if (at == functors().end()) return t;
  if (at->second.domain == kernels::Domain::kFloat && !is_floating(t)) return DType::kF32;
  return at->second.domain == kernels::Domain::kLogical ? DType::kBool : t;
}

const char* functor_name(const OpDef& op) {
  const auto at = functors().find(&op);
  return at == functors().end() ? "" : at->second.name;
}

std::string number(double v) {
  if (std::isnan(v)) return "__builtin_nan(\"\")";
  if (std::isinf(v)) return v < 0 ? "-__builtin_inf()" : "__builtin_inf()";
  const std::string text = cat(v);
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

std::string offset(const Axes& axes, const std::string& name) {
  int64_t faster = 1;
  std::string sum;
  for (size_t i = axes.size(); i-- > 0;) {
    const Axis& a = axes[i];
    if (a.stride != 0) {
      std::string term = faster == 1 ? name : cat(name, " / ", faster, "u");
      if (i > 0) term = cat(term, " % ", a.size, "u");
      if (a.stride != 1) {
        term = cat("(", term, ") * ", a.stride, a.stride > 0 ? "u" : "");
      } else if (faster != 1 || i > 0) {
        term = cat("(", term, ")");
      }
      sum = sum.empty() ? term : cat(term, " + ", sum);
    }
    faster *= a.size;
  }
  return sum.empty() ? "0" : sum;
}
std::string offset(const Access& a, const std::string& row, const std::string& column) {
  const std::string r = offset(a.row, row), c = offset(a.column, column);
  return r == "0" ? c : c == "0" ? r : cat(r, " + ", c);
}

std::string reduced_value(const FusedIr::Reduction& r, const FusedIr& ir, const std::string& acc,
                          const std::string& type) {
  const FusedIr::Value& v = ir.values[static_cast<size_t>(r.value)];
  const bool mean = ir.step_of(v).op == &ops::kMean;
  const std::string scaled =
      mean ? cat(acc, " * ", type, "(", number(1.0 / static_cast<double>(r.count)), ")") : acc;
  return type == compute_type(v.dtype)
             ? scaled
             : cat("k::convert<", compute_type(v.dtype), ">(", scaled, ")");
}

std::string describe_operands(const CallMeta& call) {
  std::string text;
  for (const TensorMeta* m : call.inputs) text += cat(text_of(*m), " ");
  text += "->";
  for (const TensorMeta& m : call.outputs) text += cat(" ", text_of(m));
  return text;
}

// FNV-1a.
std::string hash_name(const std::string& text) {
  uint64_t h = 0xcbf29ce484222325u;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  std::string name;
  for (int shift = 60; shift >= 0; shift -= 4) name += "0123456789abcdef"[h >> shift & 15u];
  return name;
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size())) {
    text.replace(at, what.size(), by);
  }
  return text;
}

bool needs_wide_index(const CallMeta& call, const FusedIr& ir) {
  constexpr int64_t kMost = int64_t{1} << 31;
  bool wide = ir.shape.numel() >= kMost;
  const auto look = [&wide](const TensorMeta& m) {
    int64_t end = 1;
    for (int d = 0; d < m.rank(); ++d) {
      end += (m.shape[d] - 1) * std::llabs(m.strides[d]);
      wide = wide || m.strides[d] < 0;
    }
    wide = wide || end >= kMost;
  };
  for (const TensorMeta* m : call.inputs) look(*m);
  for (const TensorMeta& m : call.outputs) look(m);
  return wide;
}

// Every thread reads its elements before it writes them, and no other reads them.
uint32_t may_overwrite(const CallMeta& call, const FusedIr& ir) {
  uint32_t mask = 0;
  const TensorMeta& y = call.out();
  if (!ir.reductions.empty() || !(y.shape == ir.shape)) return 0;
  for (int i = 0; i < call.num_inputs() && i < 32; ++i) {
    const TensorMeta& x = call.in(i);
    if (x.shape == y.shape && x.strides == y.strides &&
        dtype_size(x.dtype) == dtype_size(y.dtype)) {
      mask |= 1u << i;
    }
  }
  return mask;
}

}  // namespace rutile::cuda
