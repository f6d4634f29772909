// SPDX-License-Identifier: Apache-2.0
// Results and gradients against PyTorch's in float64: every sample of tests/golden/shared_*.json
// (made by tests/golden/make_shared_*.py).
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "rutile/autograd/tape.h"
#include "rutile/core/complex.h"
#include "rutile/ops/call.h"
#include "rutile/ops/complex.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"

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

double number(const Json& j) {
  if (j.is_string()) return std::stod(j.get<std::string>());  // nan, inf, -inf
  return j.is_boolean() ? j.get<bool>() : j.get<double>();
}

Shape shape_of(const Json& j) {
  Shape s;
  for (const auto& d : j) s.push_back(d.get<int64_t>());
  return s;
}

Tensor uniform(const std::string& seed, const Shape& shape, double bound, double offset) {
  Tensor t = Tensor::empty(shape, DType::kF64);
  for (int64_t i = 0; i < t.numel(); ++i) {
    const double u = static_cast<double>(hash_at(seed, static_cast<uint64_t>(i)) >> 11) * 0x1p-53;
    t.mutable_data_as<double>()[i] = offset + (2 * u - 1) * bound;
  }
  return t;
}

DType dtype_named(const std::string& name) {
  if (name == "int64") return DType::kI64;
  if (name == "int32") return DType::kI32;
  return name == "bool" ? DType::kBool : DType::kF64;
}

// Complex numbers are written as pairs of real ones.
Tensor make_input(const Json& j, const std::string& seed) {
  if (j.is_null()) return Tensor();
  const Shape shape = shape_of(j.at("shape"));
  if (j.contains("complex")) {
    Json pairs = j;
    pairs.erase("complex");
    pairs["shape"].push_back(2);
    return ops::view_as_complex(make_input(pairs, seed));
  }
  if (j.contains("values")) {
    Tensor t = Tensor::empty(shape, DType::kF64);
    for (int64_t i = 0; i < t.numel(); ++i) {
      t.mutable_data_as<double>()[i] = number(j["values"][static_cast<size_t>(i)]);
    }
    return ops::cast(t, dtype_named(j.at("dtype").get<std::string>()));
  }
  if (!j.contains("modulo")) return uniform(seed, shape, j.at("bound"), j.at("offset"));
  Tensor t = Tensor::empty(shape, DType::kI64);
  const auto modulo = j["modulo"].get<uint64_t>();
  for (int64_t i = 0; i < t.numel(); ++i) {
    t.mutable_data_as<int64_t>()[i] =
        static_cast<int64_t>(hash_at(seed, static_cast<uint64_t>(i)) % modulo);
  }
  return t;
}

AttrValue attr_value(const Json& v) {
  if (v.is_boolean()) return v.get<bool>();
  if (v.is_number_integer()) return v.get<int64_t>();
  if (v.is_number()) return v.get<double>();
  if (v.is_array()) return shape_of(v);
  if (v.is_null()) return {};
  return v.get<std::string>();
}

// PyTorch's series of polygamma end early, and it rounds 1 / 6 to f32.
double tolerance(const std::string& name) {
  for (const char* rough : {"hsigmoid", "digamma", "polygamma"}) {
    if (name.starts_with(cat("shared/", rough, "/"))) return 1e-7;
  }
  return 1e-10;
}

Tensor as_parts(const Tensor& t) { return is_complex(t.dtype()) ? ops::view_as_real(t) : t; }

void compare(const Tensor& result, const Json& want, const std::string& name) {
  ASSERT_TRUE(result.defined()) << name;
  const Tensor got = as_parts(result);
  ASSERT_EQ(to_string(got.shape()), to_string(shape_of(want.at("shape")))) << name;
  const std::vector<double> v = ops::cast(got, DType::kF64).to_vector<double>();
  if (want.contains("values")) {
    for (size_t i = 0; i < v.size(); ++i) {
      const double w = number(want["values"][i]);
      if (std::isnan(w) || std::isinf(w)) {
        EXPECT_TRUE(v[i] == w || (std::isnan(w) && std::isnan(v[i])))
            << name << "[" << i << "] is " << v[i] << ", expected " << w;
        continue;
      }
      EXPECT_NEAR(v[i], w, tolerance(name) * (1 + std::abs(w))) << name << "[" << i << "]";
    }
    return;
  }
  double norm = 0;
  for (const double x : v) norm += x * x;
  norm = std::sqrt(norm);
  EXPECT_NEAR(norm, want.at("norm").get<double>(), tolerance(name) * (1 + norm)) << name;
  for (size_t k = 0; k < want.at("sketch").size(); ++k) {
    const std::string seed = cat("sketch.", k, "/", name);
    double sum = 0;
    for (size_t i = 0; i < v.size(); ++i) sum += hash_at(seed, i) >> 63 ? -v[i] : v[i];
    EXPECT_NEAR(sum, want["sketch"][k].get<double>(), tolerance(name) * (1 + norm))
        << name << ", sum " << k;
  }
}

// Gradients of the floating inputs, against those of the file; none there means zero.
void compare_gradients(const OpDef& op, const AnyAttrs& attrs, const std::vector<Tensor>& in,
                       const Json& grads, const std::string& prefix) {
  std::vector<Tensor> operands;
  std::vector<size_t> at;
  for (size_t i = 0; i < in.size(); ++i) {
    if (!in[i].defined() || !is_differentiable(in[i].dtype()) || grads.at(i).is_null()) continue;
    at.push_back(i);
    operands.push_back(in[i]);
  }
  const auto weighted = [&](const std::vector<Tensor>& xs) {
    std::vector<Tensor> args = in;
    for (size_t k = 0; k < at.size(); ++k) args[at[k]] = xs[k];
    const TensorList y = call_n(op, attrs.get(), args);
    Tensor total = Tensor::scalar(0, DType::kF64);
    for (int i = 0; i < y.size(); ++i) {
      if (!is_differentiable(y[i].dtype())) continue;
      const Tensor parts = as_parts(y[i]);
      total = total + ops::sum(parts * uniform(cat(prefix, "/dy", i), parts.shape(), 1, 0));
    }
    return total;
  };
  const std::vector<Tensor> dx = value_and_grad(weighted, operands).grads;
  for (size_t k = 0; k < at.size(); ++k) {
    compare(dx[k], grads[at[k]], cat(prefix, "/dx", at[k]));
  }
}

void run_sample(const Json& sample) {
  const auto name = sample.at("op").get<std::string>();
  const std::string prefix = cat("shared/", name, "/", sample.at("index").get<int>());
  const OpDef* op = find_op(name);
  ASSERT_NE(op, nullptr) << name;
  AnyAttrs attrs(op->attrs, nullptr);
  for (const auto& [key, value] : sample.at("attrs").items()) {
    const int field = op->attrs ? field_index(*op->attrs, key) : -1;
    ASSERT_GE(field, 0) << name << " has no attribute " << key;
    Status set = op->attrs->set(attrs.get_mutable(), field, attr_value(value));
    const bool special = value == "inf" || value == "-inf" || value == "nan";
    if (!set.ok() && special) {
      set = op->attrs->set(attrs.get_mutable(), field, AttrValue(number(value)));
    }
    throw_if_error(set);
  }
  std::vector<Tensor> in;
  for (size_t i = 0; i < sample.at("inputs").size(); ++i) {
    in.push_back(make_input(sample["inputs"][i], cat(prefix, "/x", i)));
  }
  const TensorList out = call_n(*op, attrs.get(), in);
  const Json& outputs = sample.at("outputs");
  for (size_t i = 0; i < outputs.size(); ++i) {
    compare(out[static_cast<int>(i)], outputs[i], cat(prefix, "/y", i));
  }
  if (sample.contains("grads")) compare_gradients(*op, attrs, in, sample["grads"], prefix);
}

TEST(Golden, SharedOpsAndTheirGradientsAgreeWithPyTorchInFloat64) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(RUTILE_SOURCE_DIR "/tests/golden")) {
    const std::string file = entry.path().filename().string();
    if (!file.starts_with("shared_") || !file.ends_with(".json")) continue;
    ++files;
    std::ifstream stream(entry.path());
    const Json dump = Json::parse(stream);
    for (const Json& sample : dump.at("samples")) {
      SCOPED_TRACE(cat(file, ": ", sample.at("op").get<std::string>(), " ",
                       sample.at("index").get<int>(), " ", sample.at("attrs").dump()));
      try {
        run_sample(sample);
      } catch (const Error& e) {
        ADD_FAILURE() << e.what();
      }
    }
  }
  EXPECT_GT(files, 0);
}

}  // namespace
}  // namespace rutile
