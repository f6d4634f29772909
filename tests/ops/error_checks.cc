// SPDX-License-Identifier: Apache-2.0
// Calls that must be refused.
#include "rutile/tests/ops/harness.h"

namespace rutile::harness {

using samples::ErrorSample;

namespace {

void check_refused(const OpDef& op, const ErrorSample& e, const std::vector<Tensor>& in,
                   Findings& findings) {
  std::vector<TensorMeta> metas;
  for (const Tensor& t : in) metas.push_back(t.defined() ? t.meta() : TensorMeta());
  const std::string what = describe_call(op, e.attrs, metas);
  try {
    run_op(op, e.attrs.get(), in);
    findings.add(cat(what, ": is accepted; expected an error with \"", e.message, "\""));
  } catch (const Error& error) {
    const std::string& m = error.message();
    if (error.code() != e.code) {
      findings.add(cat(what, ": gives ", error_code_name(error.code()), ", expected ",
                       error_code_name(e.code), ": ", m));
    } else if (m.find(e.message) == std::string::npos) {
      findings.add(cat(what, ": the error does not say \"", e.message, "\": ", m));
    } else if (m.find('[') != 0 || (!in.empty() && m.find(" | ") == std::string::npos)) {
      findings.add(cat(what, ": the error lacks the [op] or the inputs: ", m));
    }
  }
}

}  // namespace

void check_errors(const OpDef& op, Findings& findings) {
  const SampleList list = samples::samples_of(op);
  uint64_t key = 1;
  for (const ErrorSample& e : list.errors) {
    std::vector<Tensor> in;
    for (const samples::Input& spec : e.inputs) {
      in.push_back(
          samples::make_tensor(spec, spec.dtype.set ? spec.dtype.value : DType::kF32, {key++}));
    }
    check_refused(op, e, in, findings);
  }
}

}  // namespace rutile::harness
