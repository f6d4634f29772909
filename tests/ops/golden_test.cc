// SPDX-License-Identifier: Apache-2.0
// Ops against PyTorch: every sample of tests/golden/ops_f64.json that is the call of one op. The
// file's README says how inputs are made and what a sketch is.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "rutile/ops/call.h"
#include "rutile/ops/op_def.h"
#include "rutile/ops/optim.h"
#include "rutile/ops/state.h"

namespace rutile {
namespace {

using Json = nlohmann::json;

uint64_t hash_at(const std::string& seed, uint64_t i) {
  uint64_t h = 0xCBF29CE484222325u;
  for (const unsigned char c : seed) h = (h ^ c) * 0x100000001B3u;
  uint64_t z = h + i * 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return z ^ z >> 31;
}

Shape shape_of(const Json& j) {
  Shape s;
  for (const auto& d : j) s.push_back(d.get<int64_t>());
  return s;
}

Tensor make_input(const Json& j, const std::string& seed) {
  const Shape shape = shape_of(j.at("shape"));
  if (j.contains("modulo")) {
    Tensor t = Tensor::empty(shape, DType::kI64);
    const uint64_t modulo = j["modulo"].get<uint64_t>();
    for (int64_t i = 0; i < t.numel(); ++i) {
      t.mutable_data_as<int64_t>()[i] = static_cast<int64_t>(hash_at(seed, i) % modulo);
    }
    return t;
  }
  Tensor t = Tensor::empty(shape, DType::kF64);
  const double bound = j.value("bound", 1.0), offset = j.value("offset", 0.0);
  for (int64_t i = 0; i < t.numel(); ++i) {
    const double u = static_cast<double>(hash_at(seed, i) >> 11) * 0x1p-53;
    t.mutable_data_as<double>()[i] =
        j.contains("fill") ? j["fill"].get<double>() : offset + (2 * u - 1) * bound;
  }
  return t;
}

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

// False if the op has no such attribute.
bool set_attr(const OpDef& op, void* attrs, const std::string& key, const Json& v) {
  const int field = op.attrs ? field_index(*op.attrs, our_name(key)) : -1;
  if (field < 0) return false;
  AttrValue value;
  if (v.is_boolean()) {
    value = v.get<bool>();
  } else if (v.is_number_integer()) {
    value = v.get<int64_t>();
  } else if (v.is_number()) {
    value = v.get<double>();
  } else if (v.is_array()) {
    value = shape_of(v);
  } else if (v.is_string()) {
    value = v.get<std::string>();
  } else {
    return v.is_null();  // the default
  }
  throw_if_error(op.attrs->set(attrs, field, value));
  return true;
}

int input_index(const OpDef& op, const std::string& name) {
  for (int i = 0; i < op.num_inputs; ++i) {
    if (op.input_name(i) == our_name(name) || op.input_name(i) == name) return i;
    if (op.input_name(i) == "table" && name == "weight") return i;
  }
  return -1;
}

void compare(const Tensor& got, const Json& want, const std::string& name) {
  ASSERT_EQ(got.shape(), shape_of(want.at("shape"))) << name;
  const std::vector<double> v = got.to_vector<double>();
  if (want.contains("values")) {
    for (size_t i = 0; i < v.size(); ++i) {
      const double w = want["values"][i].get<double>();
      EXPECT_NEAR(v[i], w, 1e-11 * (1 + std::abs(w))) << name << "[" << i << "]";
    }
    return;
  }
  double norm = 0;
  for (const double x : v) norm += x * x;
  norm = std::sqrt(norm);
  EXPECT_NEAR(norm, want.at("norm").get<double>(), 1e-10 * (1 + norm)) << name;
  for (size_t k = 0; k < want.at("sketch").size(); ++k) {
    const std::string seed = cat("sketch.", k, "/", name);
    double sum = 0;
    for (size_t i = 0; i < v.size(); ++i) sum += hash_at(seed, i) >> 63 ? -v[i] : v[i];
    EXPECT_NEAR(sum, want["sketch"][k].get<double>(), 1e-10 * (1 + norm))
        << name << " sketch " << k;
  }
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
    if (!set_attr(*op, attrs.get_mutable(), key, value)) return false;
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
    EXPECT_TRUE(set_attr(op, values.get_mutable(), key, value) || plain) << name << ": " << key;
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
    std::vector<Tensor> rest{grad, lr};
    if (&op == &ops::kMomentum) rest.push_back(step);
    if (&op == &ops::kAdam || &op == &ops::kAdamW) rest.insert(rest.begin(), step);
    State::update(op, values.get(), pointers, rest);
    compare(states[0]->read(), sample.at("outputs").at(param_name), seed + param_name);
  }
}

TEST(Golden, HashIsTheFilesHash) {
  EXPECT_EQ(hash_at("a", 0), 0x02c0bdbf481420f8u);
  EXPECT_EQ(hash_at("resnet50/conv1.weight", 12345), 0xfbe3308b643a0161u);
}

TEST(Golden, OpsAgreeWithPyTorchInFloat64) {
  std::ifstream file(RUTILE_SOURCE_DIR "/tests/golden/ops_f64.json");
  if (!file) GTEST_SKIP() << "tests/golden/ops_f64.json is absent";
  const Json golden = Json::parse(file);
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
