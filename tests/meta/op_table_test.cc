// SPDX-License-Identifier: Apache-2.0
// The op table is complete: every op has samples, errors, words, a gradient or a reason, and a way
// to run. Each test names all offenders at once.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>
#include <functional>
#include <set>

#include "rutile/ops/cost.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/plan_cache.h"
#include "rutile/tests/ops/samples/sample.h"

namespace rutile {
namespace {

using samples::Sample;
using samples::SampleList;

// Fails with the name of every op for which `complaint` returns text.
void for_each_op(const std::function<std::string(const OpDef&)>& complaint) {
  std::string all;
  int count = 0;
  for (const OpDef* op : all_ops()) {
    const std::string text = complaint(*op);
    if (text.empty()) continue;
    ++count;
    all += cat("\n  ", op->name, ": ", text);
  }
  EXPECT_EQ(count, 0) << count << " of " << all_ops().size() << " ops:" << all;
}

bool is_sentence(const char* text) { return text && std::strlen(text) >= 10; }

TEST(OpTable, NamesAreUniqueSnakeCase) {
  std::set<std::string> seen;
  for_each_op([&](const OpDef& op) -> std::string {
    const std::string name = op.name;
    if (!seen.insert(name).second) return "the name is taken twice";
    const bool snake = std::all_of(name.begin(), name.end(), [](unsigned char c) {
      return std::islower(c) || std::isdigit(c) || c == '_';
    });
    if (!snake || name.empty() || !std::islower(static_cast<unsigned char>(name[0]))) {
      return "the name is not snake_case";
    }
    if (find_op(name) != &op) return "find_op does not find it";
    return "";
  });
}

TEST(OpTable, EveryOpHasADoc) {
  for_each_op([](const OpDef& op) { return op.doc && *op.doc ? "" : "has no doc"; });
}

TEST(OpTable, EveryOpHasAGradientOrAReason) {
  for_each_op([](const OpDef& op) -> std::string {
    if (op.grad && op.no_grad) return "has a gradient and a reason for having none";
    if (op.no_grad && !is_sentence(op.no_grad))
      return "gives no real reason for having no gradient";
    return op.grad || op.compose || op.no_grad ? "" : "has no gradient and no reason";
  });
}

TEST(OpTable, EveryOpCanRun) {
  for_each_op([](const OpDef& op) -> std::string {
    if (op.view_offset || op.compose) return "";
    for (const KernelRow& row : kernel_rows(op, DeviceType::kCpu)) {
      if (row.reference) return "";
    }
    return "has no reference kernel, no composition, and is no view";
  });
}

TEST(OpTable, ReferenceRowsComeLast) {
  for_each_op([](const OpDef& op) -> std::string {
    bool seen = false;
    for (const KernelRow& row : kernel_rows(op, DeviceType::kCpu)) {
      if (seen && !row.reference) return cat("row ", row.name, " stands behind the reference row");
      seen = seen || row.reference;
    }
    return "";
  });
}

TEST(OpTable, EveryOpHasSamplesAndErrorSamples) {
  for_each_op([](const OpDef& op) -> std::string {
    if (!samples::has_samples(op)) return "has no sample generator";
    const SampleList list = samples::samples_of(op);
    if (list.samples.empty()) return "its generator gives no sample";
    return list.errors.empty() ? "has no error sample" : "";
  });
}

// States are written behind the last op that may fail for its values: the mark must not lack.
TEST(OpTable, OpsThatRefuseValuesSaySo) {
  for_each_op([](const OpDef& op) -> std::string {
    for (const samples::ErrorSample& e : samples::samples_of(op).errors) {
      std::vector<TensorMeta> metas;
      std::vector<const TensorMeta*> pointers;
      metas.reserve(e.inputs.size());
      for (const samples::Input& in : e.inputs) {
        const DType dtype = in.dtype.set ? in.dtype.value : DType::kF32;
        const Tensor t = samples::make_tensor(in, dtype, {1});
        metas.push_back(t.defined() ? t.meta() : TensorMeta());
        pointers.push_back(t.defined() ? &metas.back() : nullptr);
      }
      SmallVector<TensorMeta, 1> out;
      const bool inferred = infer_call(CallMeta{&op, e.attrs.get(), pointers, {}}, &out).ok();
      if (inferred && !op.checks_values) return cat("fails at run time: ", e.message);
    }
    return "";
  });
}

// What neither computes by element nor is a view says what it computes, or only moves.
TEST(OpTable, EveryOpThatComputesHasACost) {
  static const std::set<std::string> moves = {"contiguous",
                                              "reorder",
                                              "concat",
                                              "pad",
                                              "pad_grad",
                                              "flip",
                                              "tril",
                                              "triu",
                                              "full",
                                              "arange",
                                              "one_hot",
                                              "embedding",
                                              "gather",
                                              "slice_grad",
                                              "assign",
                                              "take_along_axis",
                                              "max_pool2d_gather",
                                              "pool_gather",
                                              "unfold",
                                              "pixel_shuffle",
                                              "pixel_unshuffle",
                                              "depth_to_space",
                                              "space_to_depth",
                                              "channel_shuffle",
                                              "bitcast",
                                              "view_as_real",
                                              "view_as_complex",
                                              "recompute",  // its body is what costs
                                              "all_gather",
                                              "all_to_all",
                                              "broadcast",
                                              "all_reduce_start",
                                              "all_reduce_wait",
                                              "to_device"};
  for_each_op([](const OpDef& op) -> std::string {
    const bool free = op.view_offset || op.elementwise || moves.count(op.name);
    if (free || op.flops) return "";
    return "has no .flops: its limit would be that of a copy (ops/cost.h)";
  });
}

// Costs of all samples are numbers, whatever the shape.
TEST(OpTable, CostsAreFiniteNumbers) {
  for_each_op([](const OpDef& op) -> std::string {
    for (const Sample& s : samples::samples_of(op).samples) {
      std::vector<TensorMeta> metas;
      std::vector<const TensorMeta*> in;
      for (const samples::Input& i : s.inputs) {
        metas.emplace_back(i.shape, i.dtype.set ? i.dtype.value : s.dtypes.front());
      }
      for (size_t i = 0; i < metas.size(); ++i) {
        in.push_back(s.inputs[i].absent ? nullptr : &metas[i]);
      }
      SmallVector<TensorMeta, 1> out;
      if (!infer_call(CallMeta{&op, s.attrs.get(), in, {}}, &out).ok()) continue;
      const Cost c = cost_of(CallMeta{&op, s.attrs.get(), in, out});
      if (!(std::isfinite(c.flops) && c.flops >= 0 && std::isfinite(c.bytes) && c.bytes >= 0)) {
        return cat("sample ", s.index, " costs ", c.flops, " FLOPs and ", c.bytes, " bytes");
      }
    }
    return "";
  });
}

TEST(OpTable, EverySampleGeneratorIsOfAnOp) {
  for (const std::string& name : samples::names_with_samples()) {
    EXPECT_NE(find_op(name), nullptr) << "samples of '" << name << "', which is no op";
  }
}

TEST(OpTable, SamplesGiveReasonsForWhatTheyLeaveOut) {
  for_each_op([](const OpDef& op) -> std::string {
    for (const Sample& s : samples::samples_of(op).samples) {
      for (const std::string* reason : {&s.no_gradient, &s.no_second_order}) {
        if (!reason->empty() && reason->size() < 3) {
          return cat("sample ", s.index, " gives no real reason: '", *reason, "'");
        }
      }
    }
    return "";
  });
}

// True if infer takes the sample with `t` as the type of its sweep.
bool accepts(const Sample& s, DType t) {
  std::vector<TensorMeta> metas;
  std::vector<const TensorMeta*> pointers;
  bool sweeps = false;
  for (const samples::Input& in : s.inputs) {
    metas.emplace_back(in.shape, in.dtype.set ? in.dtype.value : t);
    sweeps = sweeps || (!in.absent && !in.dtype.set);
  }
  for (size_t i = 0; i < metas.size(); ++i) {
    pointers.push_back(s.inputs[i].absent ? nullptr : &metas[i]);
  }
  SmallVector<TensorMeta, 1> out;
  return sweeps && infer_call(CallMeta{s.op, s.attrs.get(), pointers, {}}, &out).ok();
}

TEST(OpTable, EveryTypeThatInferTakesIsSampled) {
  for_each_op([](const OpDef& op) -> std::string {
    std::set<DType> accepted, sampled;
    for (const Sample& s : samples::samples_of(op).samples) {
      for (const DType t : samples::kEveryType) {
        if (accepts(s, t)) accepted.insert(t);
      }
      sampled.insert(s.dtypes.begin(), s.dtypes.end());
      for (const samples::Input& in : s.inputs) {
        if (in.dtype.set) sampled.insert(in.dtype.value);
      }
    }
    std::string missing;
    for (const DType t : accepted) {
      if (!sampled.count(t)) missing += cat(missing.empty() ? "" : ", ", dtype_name(t));
    }
    return missing.empty() ? "" : cat("takes ", missing, ", but no sample does");
  });
}

}  // namespace
}  // namespace rutile
