// SPDX-License-Identifier: Apache-2.0
#include "rutile/tests/support/golden_values.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

namespace rutile::golden {

Json read_golden_file(const std::string& name) {
  const std::string path = cat(RUTILE_SOURCE_DIR, "/tests/golden/", name);
  std::ifstream file(path);
  if (!file) throw_error(ErrorCode::kNotFound, cat(path, " cannot be opened"));
  return Json::parse(file);
}

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

namespace {

Tensor make_integers(const Json& j, const std::string& seed, const Shape& shape) {
  Tensor t = Tensor::empty(shape, DType::kI64);
  int64_t* v = t.mutable_data_as<int64_t>();
  for (int64_t i = 0; i < t.numel(); ++i) {
    const auto at = static_cast<size_t>(i);
    v[i] = j.contains("modulo")
               ? static_cast<int64_t>(hash_at(seed, at) % j["modulo"].get<uint64_t>())
               : j["integers"][at].get<int64_t>();
  }
  return t;
}

}  // namespace

Tensor make_input(const Json& j, const std::string& seed) {
  const Shape shape = shape_of(j.at("shape"));
  if (j.contains("modulo") || j.contains("integers")) return make_integers(j, seed, shape);
  Tensor t = Tensor::empty(shape, DType::kF64);
  const double bound = j.value("bound", 1.0), offset = j.value("offset", 0.0);
  for (int64_t i = 0; i < t.numel(); ++i) {
    const auto at = static_cast<size_t>(i);
    const double u = static_cast<double>(hash_at(seed, at) >> 11) * 0x1p-53;
    t.mutable_data_as<double>()[i] = j.contains("fill")      ? j["fill"].get<double>()
                                     : j.contains("numbers") ? j["numbers"][at].get<double>()
                                                             : offset + (2 * u - 1) * bound;
  }
  return t;
}

void compare(const Tensor& got, const Json& want, const std::string& name, double tolerance) {
  ASSERT_EQ(got.shape(), shape_of(want.at("shape"))) << name;
  const std::vector<double> v = got.to_vector<double>();
  if (want.contains("values")) {
    for (size_t i = 0; i < v.size(); ++i) {
      const double w = want["values"][i].get<double>();
      EXPECT_NEAR(v[i], w, tolerance * (1 + std::abs(w))) << name << "[" << i << "]";
    }
    return;
  }
  double norm = 0;
  for (const double x : v) norm += x * x;
  norm = std::sqrt(norm);
  EXPECT_NEAR(norm, want.at("norm").get<double>(), 10 * tolerance * (1 + norm)) << name;
  for (size_t k = 0; k < want.at("sketch").size(); ++k) {
    const std::string seed = cat("sketch.", k, "/", name);
    double sum = 0;
    for (size_t i = 0; i < v.size(); ++i) sum += hash_at(seed, i) >> 63 ? -v[i] : v[i];
    EXPECT_NEAR(sum, want["sketch"][k].get<double>(), 10 * tolerance * (1 + norm))
        << name << " sketch " << k;
  }
}

bool set_attr(const OpDef& op, void* attrs, const std::string& name, const Json& v) {
  const int field = op.attrs ? field_index(*op.attrs, name) : -1;
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
    return v.is_null();
  }
  throw_if_error(op.attrs->set(attrs, field, value));
  return true;
}

}  // namespace rutile::golden
