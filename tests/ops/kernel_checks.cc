// SPDX-License-Identifier: Apache-2.0
// Kernel rows against the oracle, called one by one as call() and the executor call them.
#include <algorithm>
#include <cstring>
#include <optional>

#include "rutile/core/thread.h"
#include "rutile/ops/lines.h"
#include "rutile/ops/plan_cache.h"
#include "rutile/tests/ops/harness.h"

namespace rutile::harness {

using samples::padding_is_zero;
using samples::place;

namespace {

constexpr size_t kGuard = 64;
constexpr unsigned char kGarbage = 0xFF;  // NaN in every floating type

// Memory with undefined contents between two guards.
Tensor guarded_memory(const TensorMeta& meta, size_t bytes) {
  Tensor block = Tensor::empty({static_cast<int64_t>(bytes + 2 * kGuard)}, DType::kU8);
  std::memset(block.mutable_data(), kGarbage, bytes + 2 * kGuard);
  char* first = static_cast<char*>(block.mutable_data()) + kGuard;
  Ref<RefCounted> owner = block.impl()->owner;
  if (!owner) owner = block.ref();
  return Tensor::view_of(std::move(owner), first, meta);
}

bool guards_hold(const Tensor& t, size_t bytes) {
  const auto* p = static_cast<const unsigned char*>(t.impl()->data);
  const auto intact = [](unsigned char c) { return c == kGarbage; };
  return std::all_of(p - kGuard, p, intact) && std::all_of(p + bytes, p + bytes + kGuard, intact);
}

size_t bytes_of(const TensorMeta& m) { return static_cast<size_t>(m.nbytes()); }

struct RowCall {
  const KernelRow* row = nullptr;
  std::vector<Tensor> in;
  SmallVector<TensorMeta, 1> out_metas;
  std::unique_ptr<Plan> plan;
  std::string what;
};

bool all_strided(const CallMeta& call) {
  const auto strided = [](const TensorMeta& m) { return m.layout == kStrided; };
  return std::all_of(call.inputs.begin(), call.inputs.end(),
                     [&](const TensorMeta* m) { return !m || strided(*m); }) &&
         std::all_of(call.outputs.begin(), call.outputs.end(), strided);
}

void put_at(const Placement& p, TensorMeta* m) {
  m->layout = p.layout;
  if (p.layout != kStrided) return;
  m->strides = p.channels_last && m->rank() == 4 ? ordered_strides(m->shape, {0, 2, 3, 1})
                                                 : contiguous_strides(m->shape);
}

// The call as the row would get it, or nothing if the row refuses.
std::optional<RowCall> prepare(const KernelRow& row, const Sample& s, std::vector<Tensor> in,
                               const LayoutPrefs* prefs) {
  RowCall r;
  r.row = &row;
  if (prefs) {
    for (size_t i = 0; i < in.size() && static_cast<int>(i) < prefs->in.size(); ++i) {
      if (!in[i].defined()) continue;
      TensorMeta like = in[i].meta();
      put_at(prefs->in[static_cast<int>(i)], &like);
      in[i] = place(in[i], like);
    }
  }
  r.in = std::move(in);
  std::vector<const TensorMeta*> metas;
  for (const Tensor& t : r.in) metas.push_back(t.defined() ? &t.meta() : nullptr);
  CallMeta call{row.op, s.attrs.get(), metas, {}};
  throw_if_error(infer_call(call, &r.out_metas));
  for (int i = 0; prefs && i < r.out_metas.size() && i < prefs->out.size(); ++i) {
    put_at(prefs->out[i], &r.out_metas[i]);
  }
  call.outputs = r.out_metas;
  Reason reason;
  std::optional<ops::LineCall> line;
  if (ops::is_line_of_number(call)) call = line.emplace(call).call();
  if (!(row.supports ? row.supports(call, &reason) : all_strided(call))) return std::nullopt;
  throw_if_error(row.prepare(call, &r.plan));
  RUTILE_CHECK(r.plan && r.plan->run, "prepare gives a plan that can run");
  return r;
}

// Runs into fresh memory; `overwrite` >= 0: output 0 takes the place of that input.
std::vector<Tensor> run(const RowCall& r, int overwrite, Findings& findings) {
  const OpDef& op = *r.row->op;
  std::vector<Tensor> out;
  SmallVector<void*, 6> in_data, out_data;
  std::vector<Tensor> copies = r.in;
  for (size_t i = 0; i < copies.size(); ++i) {
    if (static_cast<int>(i) == overwrite) copies[i] = place(copies[i], copies[i].meta());
    in_data.push_back(copies[i].defined() ? copies[i].impl()->data : nullptr);
  }
  while (in_data.size() < op.num_inputs) in_data.push_back(nullptr);
  std::vector<bool> fresh;
  for (int i = 0; i < r.out_metas.size(); ++i) {
    const TensorMeta& m = r.out_metas[i];
    const int alias = op.alias_input(i);
    fresh.push_back(alias < 0 && !(i == 0 && overwrite >= 0));
    if (fresh.back()) {
      out.push_back(guarded_memory(m, bytes_of(m)));
    } else if (alias >= 0) {
      out.push_back(place(r.in[static_cast<size_t>(alias)], m));
      in_data[alias] = out.back().impl()->data;
    } else {
      Ref<RefCounted> owner = copies[static_cast<size_t>(overwrite)].impl()->owner;
      if (!owner) owner = copies[static_cast<size_t>(overwrite)].ref();
      out.push_back(Tensor::view_of(owner, in_data[overwrite], m));
    }
    out_data.push_back(out.back().impl()->data);
  }
  const size_t workspace_bytes = r.plan->workspace_bytes;
  const Tensor workspace = guarded_memory(
      TensorMeta({static_cast<int64_t>(workspace_bytes)}, DType::kU8), workspace_bytes);
  KernelArgs args{in_data.data(), out_data.data(),
                  workspace_bytes ? workspace.impl()->data : nullptr};
  throw_if_error(r.plan->run(*r.plan, args));
  for (size_t i = 0; i < out.size(); ++i) {
    if (fresh[i] && !guards_hold(out[i], bytes_of(out[i].meta()))) {
      findings.add(cat(r.what, ": writes outside output ", i));
    }
    if (!padding_is_zero(out[i])) {
      findings.add(cat(r.what, ": output ", i, " has padding that is not zero"));
    }
  }
  if (!guards_hold(workspace, workspace_bytes)) {
    findings.add(cat(r.what, ": writes outside its workspace"));
  }
  return out;
}

struct Variant {
  const char* name;
  const char* tag;  // null: as given
  bool preferred = false;
};
constexpr Variant kVariants[] = {{"as given", nullptr},
                                 {"channels-last", "acdb"},
                                 {"aBcd16b", "aBcd16b"},
                                 {"aBcd8b", "aBcd8b"},
                                 {"as the row prefers", nullptr, true}};

// Calls fn for each row and placement that the row takes.
void for_each_row_call(const OpDef& op, const Sample& s, DType t, Findings& findings,
                       const std::function<void(const RowCall&)>& fn) {
  const std::vector<Tensor> in = s.make_inputs(t);
  const bool has_rank4 = std::any_of(in.begin(), in.end(),
                                     [](const Tensor& x) { return x.defined() && x.rank() == 4; });
  if (op.promote) {
    for (const Tensor& x : in) {
      if (x.defined() && x.dtype() != in[0].dtype()) return;  // rows see one type only
    }
  }
  for (const Variant& v : kVariants) {
    if (v.tag && !has_rank4) continue;
    const std::vector<Tensor> at = v.tag ? placed(in, v.tag) : in;
    for (const KernelRow& row : kernel_rows(op, DeviceType::kCpu)) {
      if (row.reference && (v.tag || v.preferred)) continue;
      if (v.preferred && !row.prefer) continue;
      const std::string what = cat(s.describe(t), ", row ", row.name, ", ", v.name);
      try {
        LayoutPrefs prefs;
        if (v.preferred) {
          std::vector<const TensorMeta*> metas;
          for (const Tensor& x : at) metas.push_back(x.defined() ? &x.meta() : nullptr);
          CallMeta call{&op, s.attrs.get(), metas, {}};
          SmallVector<TensorMeta, 1> outs;
          throw_if_error(infer_call(call, &outs));
          call.outputs = outs;
          if (!row.prefer(call, &prefs).ok()) continue;
        }
        std::optional<RowCall> r = prepare(row, s, at, v.preferred ? &prefs : nullptr);
        if (!r) continue;
        r->what = what;
        fn(*r);
      } catch (const std::exception& e) {
        findings.add(cat(what, ": throws ", e.what()));
      }
    }
  }
}

}  // namespace

void check_kernels(const OpDef& op, Findings& findings) {
  if (op.view_offset) return;
  for_each_case(op, findings, [&](const Sample& s, DType t) {
    const std::vector<Tensor> want = run_oracle(op, s.attrs.get(), s.make_inputs(t));
    for_each_row_call(op, s, t, findings, [&](const RowCall& r) {
      compare(r.what, run(r, -1, findings), want, s, findings);
    });
  });
}

void check_overwrite(const OpDef& op, Findings& findings) {
  for_each_case(op, findings, [&](const Sample& s, DType t) {
    for_each_row_call(op, s, t, findings, [&](const RowCall& r) {
      for (int i = 0; i < static_cast<int>(r.in.size()) && i < 32; ++i) {
        if (!(r.plan->may_overwrite >> i & 1u)) continue;
        const std::string what = cat(r.what, ", over input ", i);
        const Tensor& x = r.in[static_cast<size_t>(i)];
        const TensorMeta& y = r.out_metas[0];
        if (!x.defined() || x.meta().layout != y.layout || x.meta().nbytes() != y.nbytes() ||
            (y.layout == kStrided && y.numel() > 0 && !(x.meta().strides == y.strides))) {
          findings.add(cat(what, ": the plan may not overwrite, placements differ: ",
                           x.defined() ? to_string(x.meta()) : "none", " and ", y));
          continue;
        }
        const std::vector<Tensor> apart = run(r, -1, findings);
        compare_bits(what, run(r, i, findings), apart, findings);
      }
    });
  });
}

void check_call(const OpDef& op, Findings& findings) {
  for_each_case(op, findings, [&](const Sample& s, DType t) {
    const std::vector<Tensor> in = s.make_inputs(t);
    const std::vector<Tensor> want = run_oracle(op, s.attrs.get(), in);
    compare(s.describe(t), run_op(op, s.attrs.get(), in), want, s, findings);
    for (const int threads : {1, 3}) {
      ThreadCountScope scope(threads);
      compare(cat(s.describe(t), ", ", threads, " threads"), run_op(op, s.attrs.get(), in), want, s,
              findings);
    }
    const bool has_rank4 = std::any_of(
        in.begin(), in.end(), [](const Tensor& x) { return x.defined() && x.rank() == 4; });
    if (!has_rank4) return;
    for (const char* tag : {"acdb", "aBcd16b", "aBcd8b"}) {
      compare(cat(s.describe(t), ", called with ", tag), run_op(op, s.attrs.get(), placed(in, tag)),
              want, s, findings);
    }
  });
}

void check_compose(const OpDef& op, Findings& findings) {
  if (!op.compose) return;
  for_each_case(op, findings, [&](const Sample& s, DType t) {
    const std::vector<Tensor> in = s.make_inputs(t);
    const TensorList want = op.compose(s.attrs.get(), in);
    compare(cat(s.describe(t), " against its composition"), run_op(op, s.attrs.get(), in),
            {want.data(), static_cast<size_t>(want.size())}, s, findings);
  });
}

}  // namespace rutile::harness
