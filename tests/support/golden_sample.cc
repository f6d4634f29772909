// SPDX-License-Identifier: Apache-2.0
#include "rutile/tests/support/golden_sample.h"

#include <gtest/gtest.h>

#include "rutile/autograd/tape.h"
#include "rutile/graph/compile.h"
#include "rutile/ops/call.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/reduce.h"

namespace rutile::golden {
namespace {

struct OpSample {
  const OpDef* op = nullptr;
  AnyAttrs attrs;
  std::vector<Tensor> inputs;  // undefined: absent
  std::vector<int> wanted;     // inputs with a gradient
  std::string seed, first;
  Tensor weights;  // of the elements of output 0
};

OpSample read_sample(const Json& j, const std::string& folder, const std::string& first) {
  OpSample s;
  s.first = first;
  s.op = find_op(j.at("op").get<std::string>());
  if (!s.op) throw_error(ErrorCode::kNotFound, cat("no op ", j.at("op").get<std::string>()));
  s.seed = cat(folder, "/", s.op->name, "/", j.at("index").get<int>(), "/");
  s.attrs = AnyAttrs(s.op->attrs, nullptr);
  for (const auto& [key, value] : j.at("attrs").items()) {
    EXPECT_TRUE(set_attr(*s.op, s.attrs.get_mutable(), key, value)) << s.op->name << ": " << key;
  }
  for (size_t i = 0; i < j.at("inputs").size(); ++i) {
    const Json& in = j["inputs"][i];
    s.inputs.push_back(in.is_null() ? Tensor() : make_input(in, cat(s.seed, i)));
    if (j.at("outputs").contains(cat("grad.", i))) s.wanted.push_back(static_cast<int>(i));
  }
  s.weights = make_input({{"shape", j.at("outputs").at(first).at("shape")}}, s.seed + "seed");
  return s;
}

// The outputs, then the gradients.
std::vector<Tensor> run(const OpSample& s, const std::vector<Tensor>& given) {
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

void check(const OpSample& s, const Json& outputs, const std::vector<Tensor>& got) {
  const size_t count = got.size() - s.wanted.size();
  for (size_t i = 0; i < count; ++i) {
    const std::string name = i == 0 ? s.first : cat("out.", i);
    if (i > 0 && !outputs.contains(name)) continue;
    // Indices are compared as numbers.
    const Tensor y = is_floating(got[i].dtype()) ? got[i] : ops::cast(got[i], DType::kF64);
    compare(y, outputs.at(name), s.seed + name);
  }
  for (size_t k = 0; k < s.wanted.size(); ++k) {
    const std::string name = cat("grad.", s.wanted[k]);
    compare(got[count + k], outputs.at(name), s.seed + name);
  }
}

}  // namespace

const OpDef* check_op_sample(const Json& sample, const std::string& folder,
                             const std::string& first) {
  const OpSample s = read_sample(sample, folder, first);
  std::vector<Tensor> given;
  for (const Tensor& t : s.inputs) {
    if (t.defined()) given.push_back(t);
  }
  check(s, sample.at("outputs"), run(s, given));
  graph::Compiled compiled([&](const std::vector<Tensor>& in) { return run(s, in); }, {});
  check(s, sample.at("outputs"), compiled(given));
  return s.op;
}

}  // namespace rutile::golden
