// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/codegen.h"

#include <algorithm>
#include <map>

#include "rutile/kernels/cuda/codegen_geometry.h"
#include "rutile/kernels/cuda/codegen_text.h"
#include "rutile/kernels/elementwise_params.h"
#include "rutile/ops/cost.h"
#include "rutile/ops/reduce.h"

namespace rutile::cuda {
namespace {

constexpr int kThreads = kGeneratedThreads;

Status refuse(std::string why) { return Status(ErrorCode::kUnsupported, std::move(why)); }

// Writes the source, one statement after another.
class Writer {
 public:
  Writer(const FusedIr& ir, const CallMeta& call, const CodegenOptions& options, Generated* out)
      : ir_(ir), call_(call), options_(options), out_(*out) {}
  Status run();

 private:
  using Value = FusedIr::Value;
  using Reduction = FusedIr::Reduction;

  const Value& value(int v) const { return ir_.values[static_cast<size_t>(v)]; }
  bool stored(int v) const;
  bool in_array(int v) const;

  void add_args();
  void put_line(int depth, const std::string& text) {
    text_ += cat(std::string(static_cast<size_t>(2 * depth), ' '), text, "\n");
  }
  std::string element(int v) const;
  std::string operand(int v, const char* type) const;
  std::string computed(const Value& v) const;
  void write_kernel();
  void write_rows();
  void write_row_values(int phase, int depth);
  void write_phase(int phase, int depth);
  std::string inside() const;
  void open_loop(int depth, const char* index, int count);
  void each_element(int depth, const std::string& statement);
  bool takes_vector(const Value& v, const Access& a);
  std::string first_element(int v) const;
  std::string numbered_element(int v) const;
  void write_loads(int phase, int depth);
  void write_elements(int phase, int depth);
  void write_stores(int phase, int depth);
  void declare_accumulators(int depth, bool of_row);
  void end_row(int phase, int depth);
  void end_block();
  void write_finish();
  std::string accumulator(const Reduction& r) const { return cat("a", r.value); }
  std::string accumulator_type(const Reduction& r) const;
  const char* join(const Reduction& r) const;
  std::string identity(const Reduction& r) const;

  const FusedIr& ir_;
  const CallMeta& call_;
  const CodegenOptions options_;
  Generated& out_;
  Geometry g_;
  std::map<int, std::string> workspace_;  // by value of a reduction: its partial results
  std::string text_;
  bool wide_ = false;  // numbers of elements need 64 bits
};

// ---- Values -------------------------------------------------------------------------------------

bool Writer::stored(int v) const {
  return value(v).full && value(v).output && value(v).reduction < 0;
}
// Read or written as a vector, or needed by a later phase.
bool Writer::in_array(int v) const {
  return value(v).full && (value(v).step < 0 || stored(v) || is_kept(value(v)));
}

std::string Writer::element(int v) const {
  if (!in_array(v)) return cat("v", v);
  return cat("v", v, is_kept(value(v)) ? "[i]" : "[e]");
}
// The value as `type`.
std::string Writer::operand(int v, const char* type) const {
  const char* is = compute_type(value(v).dtype);
  return std::string_view(is) == type ? element(v)
                                      : cat("k::convert<", type, ">(", element(v), ")");
}

std::string Writer::computed(const Value& v) const {
  const ops::FusedProgram::Step& s = ir_.step_of(v);
  const int last = s.in[s.in.size() - 1];
  const DType from = value(last).dtype;
  if (s.op == &ops::kCast) {
    const std::string x = operand(last, compute_type(v.dtype));
    return is_low_precision(v.dtype) ? cat("g::rounded<", storage_type(v.dtype), ">(", x, ")") : x;
  }
  const char* type = compute_type(computed_in(*s.op, from));
  std::string args;
  for (int j = 0; j < s.in.size(); ++j) args += cat(j ? ", " : "", operand(s.in[j], type));
  double p[kernels::kMaxParams] = {};
  kernels::elementwise_params(*s.op, s.attrs.get(), value(s.in[0]).dtype, p);
  const std::string call = cat("k::", functor_name(*s.op), "<k::StdMath>");
  if (!s.op->attrs) return cat(call, "{}(", args, ")");
  return cat(call, "{g::Params{", number(p[0]), ", ", number(p[1]), ", ", number(p[2]), "}.p}(",
             args, ")");
}

std::string Writer::accumulator_type(const Reduction& r) const {
  const DType in = value(ir_.program.steps[static_cast<size_t>(r.step)].in[0]).dtype;
  const DType out = value(r.value).dtype;
  if (std::string_view(join(r)) != "g::Sum") return in == DType::kBool ? "int" : compute_type(in);
  if (!is_floating(out)) return "g::int64";
  return out == DType::kF64 || !is_floating(in) ? "double" : compute_type(in);
}
const char* Writer::join(const Reduction& r) const {
  const OpDef* op = ir_.program.steps[static_cast<size_t>(r.step)].op;
  return op == &ops::kMax ? "g::Max" : op == &ops::kMin ? "g::Min" : "g::Sum";
}
std::string Writer::identity(const Reduction& r) const {
  const std::string type = accumulator_type(r);
  if (std::string_view(join(r)) == "g::Sum") return "0";
  return cat("g::", std::string_view(join(r)) == "g::Max" ? "least" : "most", "<", type, ">()");
}

// ---- The kernel ---------------------------------------------------------------------------------

void Writer::add_args() {
  using Kind = GeneratedArg::Kind;
  std::vector<char> used(ir_.values.size());
  for (size_t v = 0; v < ir_.values.size(); ++v) {
    used[v] = ir_.values[v].last >= 0 || ir_.values[v].output;
  }
  for (int i = 0; i < call_.num_inputs(); ++i) {
    if (!used[static_cast<size_t>(i)]) continue;
    out_.args.push_back({Kind::kInput, i, 0, cat("const ", storage_type(call_.in(i).dtype), "*")});
  }
  for (size_t o = 0; o < call_.outputs.size(); ++o) {
    out_.args.push_back(
        {Kind::kOutput, static_cast<int>(o), 0, cat(storage_type(call_.outputs[o].dtype), "*")});
  }
  for (const Reduction& r : ir_.reductions) {
    if (!g_.partial(r)) continue;
    const std::string type = accumulator_type(r);
    workspace_[r.value] = cat("w", r.value);
    out_.args.push_back(
        {Kind::kWorkspace, r.value, static_cast<int64_t>(out_.workspace_bytes), cat(type, "*")});
    out_.workspace_bytes +=
        static_cast<size_t>(ceil_div(g_.partials(r, ir_) * type_size(type), 256) * 256);
  }
}

void Writer::write_kernel() {
  std::string args;
  for (const GeneratedArg& a : out_.args) {
    const char* letter = a.kind == GeneratedArg::Kind::kInput    ? "x"
                         : a.kind == GeneratedArg::Kind::kOutput ? "y"
                                                                 : "w";
    args += cat(args.empty() ? "" : ", ", a.type, " ", letter, a.index);
  }
  const auto head = [&](const char* suffix, int threads) {
    put_line(0, cat("extern \"C\" __global__ void __launch_bounds__(", threads, ")"));
    put_line(0, cat("RUTILE_NAME", suffix, "(", args, ") {"));
    put_line(1, cat("using Index = ", wide_ ? "g::int64" : "unsigned", ";"));
    if (!ir_.reductions.empty()) {
      put_line(1, cat("__shared__ double room[", threads, "];"));
    }
  };
  head("", g_.threads);
  write_rows();
  end_block();
  put_line(0, "}");
  if (workspace_.empty()) return;
  put_line(0, "");
  head("_finish", kThreads);
  write_finish();
  put_line(0, "}");
}

void Writer::declare_accumulators(int depth, bool of_row) {
  for (const Reduction& r : ir_.reductions) {
    const bool mine = r.ending == Ending::kRow || r.ending == Ending::kRows;
    if (mine != of_row) continue;
    const std::string type = accumulator_type(r), name = accumulator(r);
    if (r.ending != Ending::kColumns) {
      put_line(depth, cat(type, " ", name, " = ", identity(r), ";"));
      continue;
    }
    put_line(depth, cat(type, " ", name, "[", g_.chunks * g_.each, "];"));
    open_loop(depth, "i", g_.chunks * g_.each);
    put_line(depth + 1, cat(name, "[i] = ", identity(r), ";"));
    put_line(depth, "}");
  }
}

void Writer::write_rows() {
  put_line(1, cat("const int lane = threadIdx.x % ", g_.lanes, "u, member = threadIdx.x / ",
                  g_.lanes, "u;"));
  put_line(1, cat("const Index segment = blockIdx.x % ", g_.segments, "u;"));
  put_line(1, cat("const Index first = segment * ", g_.tile() * g_.rounds, "u + lane * ", g_.each,
                  "u;"));
  declare_accumulators(1, false);
  put_line(1, cat("for (Index base = blockIdx.x / ", g_.segments, "u * ", g_.members(),
                  "u; base < ", ir_.rows, "u; base += ", g_.groups * g_.members(), "u) {"));
  put_line(2, "const Index wanted = base + member;");
  put_line(2, cat("const bool there = wanted < ", ir_.rows, "u;"));
  put_line(2, "const Index row = there ? wanted : 0;");
  declare_accumulators(2, true);
  for (size_t v = 0; v < ir_.values.size(); ++v) {
    const Value& x = ir_.values[v];
    if (is_kept(x)) {
      put_line(2, cat(compute_type(x.dtype), " v", v, "[", g_.chunks * g_.each, "];"));
    }
  }
  for (int phase = 0; phase < ir_.phases; ++phase) {
    write_row_values(phase, 2);
    write_phase(phase, 2);
    end_row(phase, 2);
  }
  put_line(1, "}");
}

// Inputs and steps that are the same for a whole row, then those that are results.
void Writer::write_row_values(int phase, int depth) {
  for (size_t i = 0; i < ir_.values.size(); ++i) {
    const Value& v = ir_.values[i];
    if (v.full || v.phase != phase || v.reduction >= 0) continue;
    const int n = static_cast<int>(i);
    const char* type = compute_type(v.dtype);
    if (v.step >= 0) {
      put_line(depth, cat("const ", type, " v", n, " = ", computed(v), ";"));
    } else if (v.last >= 0 || v.output) {
      put_line(depth, cat("const ", type, " v", n, " = g::value(x", n, "[",
                          offset(ir_.inputs[i].row, "row"), "]);"));
    }
    if (!v.output) continue;
    for (size_t o = 0; o < ir_.program.outputs.size(); ++o) {
      if (ir_.program.outputs[o] != n) continue;
      put_line(depth, cat("if (there && lane == 0 && segment == 0) g::put(y", o, " + ",
                          offset(ir_.outputs[o].row, "row"), ", v", n, ");"));
    }
  }
}

void Writer::write_phase(int phase, int depth) {
  const auto here = [phase](const Value& v) { return v.full && v.phase == phase; };
  bool any = false;
  for (const Value& v : ir_.values)
    any = any || (here(v) && (v.step >= 0 || v.output || v.last >= 0));
  for (const Reduction& r : ir_.reductions) any = any || value(r.value).phase == phase + 1;
  if (!any) return;
  if (g_.rounds > 1) {
    put_line(depth, cat("for (int round = 0; round < ", g_.rounds, "; ++round)"));
  }
  open_loop(depth, "c", g_.chunks);
  const std::string round = g_.rounds > 1 ? cat(" + round * ", g_.tile(), "u") : "";
  put_line(depth + 1,
           cat("const Index column = first + c * ", g_.lanes * g_.each, "u", round, ";"));
  put_line(depth + 1, cat("if (", inside(), ") {"));
  write_loads(phase, depth + 2);
  write_elements(phase, depth + 2);
  write_stores(phase, depth + 2);
  put_line(depth + 1, "}");
  put_line(depth, "}");
}

// Whether the thread has elements, as far as that is not known.
std::string Writer::inside() const {
  const bool rows = ir_.rows % g_.members() != 0;
  const bool columns = ir_.length % (g_.tile() * g_.rounds * g_.segments) != 0;
  const std::string column = cat("column < ", ir_.length, "u");
  return rows ? columns ? "there && " + column : "there" : columns ? column : "true";
}

void Writer::open_loop(int depth, const char* index, int count) {
  put_line(depth, "#pragma unroll");
  put_line(depth, cat("for (int ", index, " = 0; ", index, " < ", count, "; ++", index, ") {"));
}

// For each of the thread's elements `e`, which is column `at` of the row.
void Writer::each_element(int depth, const std::string& statement) {
  open_loop(depth, "e", g_.each);
  put_line(depth + 1, "const Index at = column + e;");
  put_line(depth + 1, statement);
  put_line(depth, "}");
}

// Whether the thread's elements are one access; the kernel then asks for that alignment.
bool Writer::takes_vector(const Value& v, const Access& a) {
  if (g_.each <= 1 || !g_.vector_fits(a)) return false;
  const size_t bytes = std::min<size_t>(16, dtype_size(v.dtype) * static_cast<size_t>(g_.each));
  out_.alignment = std::max(out_.alignment, bytes);
  return true;
}

std::string Writer::first_element(int v) const {
  return is_kept(value(v)) ? cat("v", v, " + c * ", g_.each) : cat("v", v);
}
std::string Writer::numbered_element(int v) const {
  return is_kept(value(v)) ? cat("v", v, "[c * ", g_.each, " + e]") : cat("v", v, "[e]");
}

void Writer::write_loads(int phase, int depth) {
  for (int n = 0; n < ir_.program.inputs; ++n) {
    const Value& v = value(n);
    if (!v.full || v.phase != phase || (v.last < 0 && !v.output)) continue;
    const Access& a = ir_.inputs[static_cast<size_t>(n)];
    const char* type = compute_type(v.dtype);
    if (!is_kept(v)) put_line(depth, cat(type, " v", n, "[", g_.each, "];"));
    if (takes_vector(v, a)) {
      put_line(depth, cat("g::load<", g_.each, ">(x", n, " + ", offset(a, "row", "column"), ", ",
                          first_element(n), ");"));
    } else {
      each_element(
          depth, cat(numbered_element(n), " = g::value(x", n, "[", offset(a, "row", "at"), "]);"));
    }
  }
}

void Writer::write_elements(int phase, int depth) {
  std::string body;
  std::swap(body, text_);
  for (size_t i = 0; i < ir_.values.size(); ++i) {
    const Value& v = ir_.values[i];
    if (!v.full || v.phase != phase || v.step < 0) continue;
    const int n = static_cast<int>(i);
    const std::string to = in_array(n) ? element(n) : cat("const ", compute_type(v.dtype), " v", n);
    put_line(depth + 1, cat(to, " = ", computed(v), ";"));
  }
  for (const Reduction& r : ir_.reductions) {
    if (value(r.value).phase != phase + 1) continue;
    const int from = ir_.program.steps[static_cast<size_t>(r.step)].in[0];
    const std::string type = accumulator_type(r);
    const std::string to = r.ending == Ending::kColumns ? accumulator(r) + "[i]" : accumulator(r);
    put_line(depth + 1,
             cat(to, " = ", join(r), "::join(", to, ", ", operand(from, type.c_str()), ");"));
  }
  std::swap(body, text_);
  if (body.empty()) return;
  for (size_t i = 0; i < ir_.values.size(); ++i) {
    const Value& v = ir_.values[i];
    const int n = static_cast<int>(i);
    if (v.phase != phase || v.step < 0 || !in_array(n) || is_kept(v)) continue;
    put_line(depth, cat(compute_type(v.dtype), " v", n, "[", g_.each, "];"));
  }
  open_loop(depth, "e", g_.each);
  if (body.find("[i]") != std::string::npos) {
    put_line(depth + 1, cat("const int i = c * ", g_.each, " + e;"));
  }
  text_ += body;
  put_line(depth, "}");
}

void Writer::write_stores(int phase, int depth) {
  for (size_t o = 0; o < ir_.program.outputs.size(); ++o) {
    const int n = ir_.program.outputs[o];
    const Value& v = value(n);
    if (!stored(n) || v.phase != phase) continue;
    const Access& a = ir_.outputs[o];
    if (takes_vector(v, a)) {
      put_line(depth, cat("g::store<", g_.each, ">(y", o, " + ", offset(a, "row", "column"), ", ",
                          first_element(n), ");"));
    } else {
      each_element(depth, cat("g::put(y", o, " + ", offset(a, "row", "at"), ", ",
                              numbered_element(n), ");"));
    }
  }
}

// ---- Results of reductions ----------------------------------------------------------------------

// What a phase's reductions over the row come to.
void Writer::end_row(int phase, int depth) {
  for (const Reduction& r : ir_.reductions) {
    if (value(r.value).phase != phase + 1) continue;
    if (r.ending != Ending::kRow && r.ending != Ending::kRows) continue;
    const std::string a = accumulator(r);
    put_line(depth, cat(a, " = g::across<", join(r), ", ", g_.lanes, ">(", a, ", room);"));
    if (r.read) {
      put_line(depth, cat("const ", compute_type(value(r.value).dtype), " v", r.value, " = ",
                          reduced_value(r, ir_, a, accumulator_type(r)), ";"));
    }
    const std::string only = "if (there && lane == 0) ";
    if (g_.partial(r)) {
      put_line(depth,
               cat(only, workspace_[r.value], "[row * ", g_.segments, "u + segment] = ", a, ";"));
    } else if (r.output >= 0) {
      put_line(depth, cat(only, "g::put(y", r.output, " + ", offset(r.out.row, "row"), ", ",
                          reduced_value(r, ir_, a, accumulator_type(r)), ");"));
    }
  }
}

// What all rows of the block come to.
void Writer::end_block() {
  for (const Reduction& r : ir_.reductions) {
    const std::string a = accumulator(r), type = accumulator_type(r);
    if (r.ending == Ending::kAll) {
      put_line(1, cat(a, " = g::across<", join(r), ", ", g_.threads, ">(", a, ", room);"));
      const std::string to =
          g_.partial(r) ? cat(workspace_[r.value], "[blockIdx.x] = ", a, ";")
                        : cat("g::put(y", r.output, ", ", reduced_value(r, ir_, a, type), ");");
      put_line(1, cat("if (threadIdx.x == 0) ", to));
    }
    if (r.ending != Ending::kColumns) continue;
    open_loop(1, "i", g_.chunks * g_.each);
    put_line(2, cat("const ", type, " a = g::over_members<", join(r), ", ", g_.lanes, ", ",
                    g_.members(), ">(", a, "[i], room);"));
    put_line(2, cat("const Index at = first + i / ", g_.each, " * ", g_.lanes * g_.each, "u + i % ",
                    g_.each, ";"));
    const std::string to = g_.partial(r)
                               ? cat(workspace_[r.value], "[blockIdx.x / ", g_.segments, "u * ",
                                     ir_.length, "u + at] = a;")
                               : cat("g::put(y", r.output, " + ", offset(r.out.column, "at"), ", ",
                                     reduced_value(r, ir_, "a", type), ");");
    put_line(2, cat("if (member == 0 && at < ", ir_.length, "u) ", to));
    put_line(1, "}");
  }
}

// Adds up what the blocks left: blockIdx.y says of which reduction.
void Writer::write_finish() {
  int number = 0;
  int64_t blocks = 1;
  for (const Reduction& r : ir_.reductions) {
    if (!g_.partial(r)) continue;
    Axes result, part;
    Axes to;
    if (r.ending == Ending::kColumns) {
      result = {{ir_.length, 1}};
      part = {{g_.groups, ir_.length}};
      to = r.out.column;
    } else if (r.ending == Ending::kAll) {
      part = {{g_.blocks(), 1}};
    } else {
      for (const Axis& x : r.kept) result.push_back({x.size, x.stride * g_.segments});
      for (const Axis& x : r.reduced) part.push_back({x.size, x.stride * g_.segments});
      part.push_back({g_.segments, 1});
      // The kept dimensions of the result, in the same order.
      to = r.result;
    }
    int64_t results = 1, parts = 1;
    for (const Axis& x : result) results *= x.size;
    for (const Axis& x : part) parts *= x.size;
    const int64_t columns = std::min<int64_t>(32, power_above(results));
    blocks = std::max(blocks, ceil_div(results, columns));
    const std::string type = accumulator_type(r), a = accumulator(r);
    put_line(1, cat("if (blockIdx.y == ", number++, ") {"));
    put_line(2,
             cat("const Index mine = blockIdx.x * ", columns, "u + threadIdx.x % ", columns, "u;"));
    put_line(2, cat(type, " ", a, " = ", identity(r), ";"));
    put_line(2, cat("if (mine < ", results, "u) {"));
    put_line(3, cat("for (Index part = threadIdx.x / ", columns, "u; part < ", parts,
                    "u; part += ", kThreads / columns, "u) {"));
    put_line(4, cat(a, " = ", join(r), "::join(", a, ", ", workspace_[r.value], "[",
                    offset(result, "mine"), " + ", offset(part, "part"), "]);"));
    put_line(3, "}");
    put_line(2, "}");
    put_line(2, cat(a, " = g::over_members<", join(r), ", ", columns, ", ", kThreads / columns,
                    ">(", a, ", room);"));
    put_line(2, cat("if (threadIdx.x < ", columns, "u && mine < ", results, "u) {"));
    put_line(3, cat("g::put(y", r.output, " + ", offset(to, "mine"), ", ",
                    reduced_value(r, ir_, a, type), ");"));
    put_line(2, "}");
    put_line(1, "}");
  }
  out_.launches.push_back({"_finish", blocks, number, kThreads});
}

Status Writer::run() {
  if (ir_.shape.numel() == 0) return Status();
  RUTILE_RETURN_IF_ERROR(choose_geometry(ir_, call_, options_.vectors, &g_));
  for (const Reduction& r : ir_.reductions) {
    if (r.output < 0 && !r.read) return refuse("computes a reduction that nobody reads");
  }
  wide_ = needs_wide_index(call_, ir_);
  add_args();
  out_.launches.push_back({"", g_.blocks(), 1, g_.threads});
  put_line(0, cat("// ", ir_.program.text()));
  put_line(0, cat("// ", describe_operands(call_)));
  put_line(0, "#include \"rutile/kernels/cuda/generated.h\"");
  put_line(0, "namespace g = rutile::generated;");
  put_line(0, "namespace k = rutile::kernels;");
  put_line(0, "");
  write_kernel();
  out_.name = cat("fused_", hash_name(text_));
  for (GeneratedLaunch& l : out_.launches) l.name = out_.name + l.name;
  out_.source = replaced(text_, "RUTILE_NAME", out_.name);
  out_.may_overwrite = may_overwrite(call_, ir_);
  return Status();
}

}  // namespace

Status generate_fused(const CallMeta& call, const CodegenOptions& options, Generated* out) {
  *out = Generated();
  FusedIr ir;
  RUTILE_RETURN_IF_ERROR(ir.build(call));
  for (const FusedIr::Value& v : ir.values) {
    if (v.step < 0 || v.reduction >= 0 || ir.step_of(v).op == &ops::kCast) continue;
    if (ops::fused_cost(*ir.step_of(v).op) >= 8) {
      return refuse(cat("computes no ", ir.step_of(v).op->name));
    }
  }
  return Writer(ir, call, options, out).run();
}

}  // namespace rutile::cuda
