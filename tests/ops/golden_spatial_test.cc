// SPDX-License-Identifier: Apache-2.0
// Ops on images and their gradients against PyTorch in float64, eager and as a compiled function.
#include <gtest/gtest.h>

#include <set>

#include "rutile/autograd/tape.h"
#include "rutile/graph/compile.h"
#include "rutile/ops/call.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/reduce.h"
#include "rutile/tests/support/golden_values.h"

namespace rutile {
namespace {

using namespace golden;

struct SpatialSample {
  const OpDef* op = nullptr;
  AnyAttrs attrs;
  std::vector<Tensor> inputs;  // undefined: absent
  std::vector<int> wanted;     // inputs with a gradient
  std::string seed;
  Tensor weights;  // of the elements of output 0
};

SpatialSample read_sample(const Json& j) {
  SpatialSample s;
  s.op = find_op(j.at("op").get<std::string>());
  if (!s.op) throw_error(ErrorCode::kNotFound, cat("no op ", j.at("op").get<std::string>()));
  s.seed = cat("spatial/", s.op->name, "/", j.at("index").get<int>(), "/");
  s.attrs = AnyAttrs(s.op->attrs, nullptr);
  for (const auto& [key, value] : j.at("attrs").items()) {
    EXPECT_TRUE(set_attr(*s.op, s.attrs.get_mutable(), key, value)) << s.op->name << ": " << key;
  }
  for (size_t i = 0; i < j.at("inputs").size(); ++i) {
    const Json& in = j["inputs"][i];
    s.inputs.push_back(in.is_null() ? Tensor() : make_input(in, cat(s.seed, i)));
    if (j.at("outputs").contains(cat("grad.", i))) s.wanted.push_back(static_cast<int>(i));
  }
  s.weights = make_input({{"shape", j.at("outputs").at("out.0").at("shape")}}, s.seed + "seed");
  return s;
}

// The outputs, then the gradients.
std::vector<Tensor> run(const SpatialSample& s, const std::vector<Tensor>& given) {
  std::vector<Tensor> in = s.inputs;
  size_t next = 0;
  for (Tensor& t : in) {
    if (t.defined()) t = given[next++];
  }
  GradScope scope;
  std::vector<Tensor> watched;
  for (const int i : s.wanted) {
    watched.push_back(in[static_cast<size_t>(i)]);
    scope.watch(watched.back());
  }
  const TensorList ys = call_n(*s.op, s.attrs.get(), in);
  std::vector<Tensor> out(ys.begin(), ys.end());
  const Tensor loss = ops::sum(ops::mul(ys[0], s.weights));
  for (const Tensor& g : scope.gradient(loss, watched)) out.push_back(g);
  return out;
}

// The file may leave out later outputs.
void check(const SpatialSample& s, const Json& outputs, const std::vector<Tensor>& got) {
  const size_t count = got.size() - s.wanted.size();
  for (size_t i = 0; i < count; ++i) {
    const std::string name = cat("out.", i);
    if (!outputs.contains(name)) continue;
    compare(ops::cast(got[i], DType::kF64), outputs.at(name), s.seed + name);
  }
  for (size_t k = 0; k < s.wanted.size(); ++k) {
    const std::string name = cat("grad.", s.wanted[k]);
    compare(got[count + k], outputs.at(name), s.seed + name);
  }
}

TEST(Golden, SpatialOpsAndGradientsAgreeWithPyTorch) {
  const Json file = read_golden_file("spatial_f64.json");
  for (const Json& j : file.at("samples")) {
    try {
      const SpatialSample s = read_sample(j);
      std::vector<Tensor> given;
      for (const Tensor& t : s.inputs) {
        if (t.defined()) given.push_back(t);
      }
      check(s, j.at("outputs"), run(s, given));
      graph::Compiled compiled([&](const std::vector<Tensor>& in) { return run(s, in); }, {});
      check(s, j.at("outputs"), compiled(given));
    } catch (const Error& e) {
      ADD_FAILURE() << j.at("op") << " " << j.at("index") << ": " << e.what();
    }
  }
}

}  // namespace
}  // namespace rutile
