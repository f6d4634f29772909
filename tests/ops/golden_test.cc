// SPDX-License-Identifier: Apache-2.0
// Ops against PyTorch: every sample of tests/golden/ops_f64.json that is the call of one op. The
// file's README says how inputs are made and what a sketch is.
#include <gtest/gtest.h>

#include <map>

#include "rutile/ops/call.h"
#include "rutile/ops/op_def.h"
#include "rutile/ops/optim.h"
#include "rutile/ops/state.h"
#include "rutile/tests/support/golden_values.h"

namespace rutile {
namespace {

using namespace golden;

// What the file calls by another name than Rutile.
std::string our_name(const std::string& name) {
  static const std::map<std::string, std::string> names{{"sdpa", "scaled_dot_product_attention"},
                                                        {"normalized_axes", "axes"},

                                                        {"running_mean", "mean"},
                                                        {"running_var", "var"}};
  const auto it = names.find(name);
  return it == names.end() ? name : it->second;
}

const OpDef* op_of(const Json& sample) {
  const std::string name = sample.at("op");
  const Json& attrs = sample.at("attrs");
  if (name == "batch_norm" && !attrs.at("training").get<bool>())
    return find_op("batch_norm_inference");
  return find_op(our_name(name));
}

int input_index(const OpDef& op, const std::string& name) {
  for (int i = 0; i < op.num_inputs; ++i) {
    if (op.input_name(i) == our_name(name) || op.input_name(i) == name) return i;
    if (op.input_name(i) == "table" && name == "weight") return i;
  }
  return -1;
}

// False if the sample is not the call of one op as we define it.
bool run_sample(const Json& sample) {
  const OpDef* op = op_of(sample);
  if (!op) return false;
  const std::string seed =
      cat("ops/", sample.at("op").get<std::string>(), "/", sample.at("index").get<int>(), "/");
  const bool norm = sample.at("op") == "batch_norm";
  AnyAttrs attrs(op->attrs, nullptr);
  for (const auto& [key, value] : sample.at("attrs").items()) {
    if (norm && (key == "training" || key == "momentum")) continue;
    if (key == "approximate" && value == "none") continue;
    if (!set_attr(*op, attrs.get_mutable(), our_name(key), value)) return false;
  }
  std::vector<Tensor> in(static_cast<size_t>(op->num_inputs));
  for (const auto& [key, value] : sample.at("inputs").items()) {
    const int i = input_index(*op, key);
    if (i < 0 && !(norm && key.starts_with("running"))) return false;
    if (i >= 0) in[static_cast<size_t>(i)] = make_input(value, seed + key);
  }
  const TensorList out = call_n(*op, attrs.get(), in);
  bool compared = false;
  for (const auto& [key, value] : sample.at("outputs").items()) {
    for (int i = 0; i < out.size(); ++i) {
      const bool only = op->num_outputs == 1 && sample.at("outputs").size() == 1;
      if (!only && op->output_name(i) != key) continue;
      compare(out[i], value, seed + key);
      compared = true;
    }
  }
  return compared;
}

bool is_update(const Json& sample) {
  const std::string name = sample.at("op");
  return name == "sgd" || name == "adam" || name == "adamw";
}

// Several steps of an optimizer, the slots starting at zero.
void run_updates(const Json& sample) {
  const std::string name = sample.at("op");
  const std::string seed = cat("ops/", name, "/", sample.at("index").get<int>(), "/");
  const Json& attrs = sample.at("attrs");
  const bool plain = name == "sgd" && attrs.at("momentum") == 0.0;
  const OpDef& op = name == "adam"    ? ops::kAdam
                    : name == "adamw" ? ops::kAdamW
                    : plain           ? ops::kSgd
                                      : ops::kMomentum;
  AnyAttrs values(op.attrs, nullptr);
  for (const auto& [key, value] : attrs.items()) {
    if (key == "lr" || key == "steps") continue;
    EXPECT_TRUE(set_attr(op, values.get_mutable(), our_name(key), value) || plain)
        << name << ": " << key;
  }
  const Tensor param = make_input(sample.at("inputs").at("param"), seed + "param");
  std::vector<Ref<State>> states{make_ref<State>("param", param)};
  std::vector<State*> pointers{states[0].get()};
  for (int i = 1; i < op.num_outputs; ++i) {
    states.push_back(make_ref<State>("slot", Tensor::zeros(param.shape(), DType::kF64)));
    pointers.push_back(states.back().get());
  }
  const Tensor lr = Tensor::scalar(attrs.at("lr").get<double>(), DType::kF64);
  for (int k = 0; k < attrs.at("steps").get<int>(); ++k) {
    const std::string grad_name = cat("grad.", k), param_name = cat("param.", k);
    const Tensor grad = make_input(sample.at("inputs").at(grad_name), seed + grad_name);
    const Tensor step = Tensor::scalar(int64_t{k + 1}, DType::kI64);
    const Tensor rest[] = {grad, lr, step};
    State::update(op, values.get(), pointers, rest);
    compare(states[0]->read(), sample.at("outputs").at(param_name), seed + param_name);
  }
}

TEST(Golden, HashIsTheFilesHash) {
  EXPECT_EQ(hash_at("a", 0), 0x02c0bdbf481420f8u);
  EXPECT_EQ(hash_at("resnet50/conv1.weight", 12345), 0xfbe3308b643a0161u);
}

TEST(Golden, OpsAgreeWithPyTorchInFloat64) {
  const Json golden = read_golden_file("ops_f64.json");
  std::map<std::string, int> done, left;
  for (const Json& sample : golden.at("samples")) {
    if (is_update(sample)) {
      run_updates(sample);
      ++done[sample.at("op").get<std::string>()];
      continue;
    }
    ++(run_sample(sample) ? done : left)[sample.at("op").get<std::string>()];
  }
  for (const auto& [op, n] : done) RecordProperty(op, n);
  for (const char* op :
       {"conv2d", "batch_norm", "softmax", "log_softmax", "layer_norm", "cross_entropy",
        "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "embedding", "sgd", "adam", "adamw"}) {
    EXPECT_GT(done[op], 0) << op;
    EXPECT_EQ(left[op], 0) << op;
  }
}

}  // namespace
}  // namespace rutile
