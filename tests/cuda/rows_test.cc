// SPDX-License-Identifier: Apache-2.0
// Every CUDA row against the oracle, on the samples of its op: the plugin's own kernels, run by the
// emulator. One test per op: Emulated/Rows.add.
#include <gtest/gtest.h>

#include <cstring>
#include <optional>

#include "rutile/ops/lines.h"
#include "rutile/ops/plan_cache.h"
#include "rutile/tests/cuda/emulated.h"
#include "rutile/tests/ops/harness.h"

namespace rutile::harness {
namespace {

// Of a sample's inputs, and of its results: the emulator is slow.
constexpr int64_t kMostElements = 1 << 15, kMostResults = 1 << 13;

std::vector<const TensorMeta*> metas_of(const std::vector<Tensor>& in) {
  std::vector<const TensorMeta*> metas;
  for (const Tensor& t : in) metas.push_back(t.defined() ? &t.meta() : nullptr);
  return metas;
}

bool too_long(const std::vector<Tensor>& in) {
  int64_t n = 0;
  for (const Tensor& t : in) n += t.defined() ? t.numel() : 0;
  return n > kMostElements;
}

// Runs the plan on copies of what it writes to.
std::vector<Tensor> run_row(const OpDef& op, const Plan& plan, std::vector<Tensor> in,
                            std::span<const TensorMeta> outs) {
  std::vector<void*> in_data, out_data;
  std::vector<Tensor> out;
  for (const Tensor& t : in) in_data.push_back(t.defined() ? t.impl()->data : nullptr);
  while (static_cast<int>(in_data.size()) < op.num_inputs) in_data.push_back(nullptr);
  for (size_t i = 0; i < outs.size(); ++i) {
    const int alias = op.alias_input(static_cast<int>(i));
    if (alias >= 0) {
      out.push_back(samples::place(in[static_cast<size_t>(alias)], outs[i]));
      in_data[static_cast<size_t>(alias)] = out.back().impl()->data;
    } else {
      TensorMeta m = outs[i];
      Tensor block = Tensor::empty({m.nbytes() + 64}, DType::kU8);
      std::memset(block.mutable_data(), 0xFF, static_cast<size_t>(m.nbytes()) + 64);
      Ref<RefCounted> owner = block.impl()->owner;
      if (!owner) owner = block.ref();
      out.push_back(Tensor::view_of(std::move(owner), block.impl()->data, m));
    }
    out_data.push_back(out.back().impl()->data);
  }
  const Tensor workspace =
      Tensor::empty({static_cast<int64_t>(plan.workspace_bytes) + 64}, DType::kU8);
  std::memset(workspace.impl()->data, 0xFF, plan.workspace_bytes + 64);
  const KernelArgs args{in_data.data(), out_data.data(), workspace.impl()->data};
  throw_if_error(plan.run(plan, args));
  throw_if_error(cuda::take_emulated_fault());
  for (size_t b = plan.workspace_bytes; b < plan.workspace_bytes + 64; ++b) {
    if (static_cast<unsigned char*>(workspace.impl()->data)[b] != 0xFF) {
      throw_error(ErrorCode::kInternal, "writes behind its workspace");
    }
  }
  return out;
}

// The number of rows that took the call.
int check_rows(const OpDef& op, const Sample& s, DType t, const std::vector<Tensor>& in,
               const char* placement, Findings& findings) {
  std::vector<Tensor> want;
  int ran = 0;
  for (const KernelRow& row : kernel_rows(op, DeviceType::kCuda)) {
    const std::string what = cat(s.describe(t), ", row ", row.name, placement);
    try {
      const auto metas = metas_of(in);
      CallMeta call{&op, s.attrs.get(), metas, {}};
      SmallVector<TensorMeta, 1> outs;
      throw_if_error(infer_call(call, &outs));
      call.outputs = outs;
      if (outs[0].numel() > kMostResults) continue;
      std::optional<ops::LineCall> line;
      if (ops::is_line_of_number(call)) call = line.emplace(call).call();
      Reason reason;
      if (row.supports && !row.supports(call, &reason)) continue;
      std::unique_ptr<Plan> plan;
      const Status made = row.prepare(call, &plan);
      if (made.code() == ErrorCode::kUnsupported) continue;
      throw_if_error(made);
      if (want.empty()) want = run_oracle(op, s.attrs.get(), in);
      compare(what, run_row(op, *plan, in, {outs.data(), static_cast<size_t>(outs.size())}), want,
              s, findings);
      ++ran;
    } catch (const std::exception& e) {
      findings.add(cat(what, ": throws ", e.what()));
    }
  }
  return ran;
}

class RowsTest : public testing::Test {
 public:
  explicit RowsTest(const OpDef& op) : op_(op) {}
  void TestBody() override {
    Findings findings;
    int ran = 0;
    for_each_case(op_, findings, [&](const Sample& s, DType t) {
      const std::vector<Tensor> in = s.make_inputs(t);
      if (too_long(in)) return;
      if (op_.promote) {
        for (const Tensor& x : in) {
          if (x.defined() && x.dtype() != in[0].dtype()) return;  // rows see one type only
        }
      }
      ran += check_rows(op_, s, t, in, "", findings);
      bool images = false;
      for (const Tensor& x : in) images = images || (x.defined() && x.rank() == 4);
      if (images) ran += check_rows(op_, s, t, placed(in, "acdb"), ", channels-last", findings);
    });
    if (findings.count()) ADD_FAILURE() << op_.name << ": " << findings.text();
    if (ran == 0) ADD_FAILURE() << op_.name << ": no row took a sample";
  }

 private:
  const OpDef& op_;
};

bool register_tests() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return true;  // they know nothing of the emulator's stacks
#endif
  cuda::register_emulated_rows();
  for (const OpDef* op : all_ops()) {
    if (kernel_rows(*op, DeviceType::kCuda).empty()) continue;
    testing::RegisterTest("Emulated/Rows", op->name, nullptr, nullptr, __FILE__, __LINE__,
                          [op] { return new RowsTest(*op); });
  }
  return true;
}
[[maybe_unused]] const bool kRegistered = register_tests();

}  // namespace
}  // namespace rutile::harness
