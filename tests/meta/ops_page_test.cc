// SPDX-License-Identifier: Apache-2.0
// docs/ops.md is what the op table says. RUTILE_WRITE_DOCS=1 writes it anew.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "rutile/ops/kernel_table.h"
#include "rutile/ops/op_def.h"

namespace rutile {
namespace {

constexpr const char* kPage = "docs/ops.md";

// "|" would end a cell of a table.
std::string cell(std::string_view text) {
  std::string s;
  for (const char c : text)
    s += c == '|' ? std::string("\\|") : c == '\n' ? " " : std::string(1, c);
  return s;
}

std::string call_of(const OpDef& op) {
  std::string s = cat(op.name, "(");
  const char* comma = "";
  for (int i = 0; i < op.num_inputs; ++i, comma = ", ") s += cat(comma, op.inputs[i]);
  const AnyAttrs defaults(op.attrs, nullptr);
  for (int i = 0; op.attrs && i < op.attrs->num_fields; ++i, comma = ", ") {
    const AttrValue v = op.attrs->get(defaults.get(), i);
    const bool region = std::holds_alternative<Ref<Region>>(v);
    s += cat(comma, field_name(*op.attrs, i), region ? "" : "=", region ? "" : to_string(v));
  }
  s += ") -> ";
  for (int i = 0; i < op.num_outputs; ++i) s += cat(i ? ", " : "", op.outputs[i]);
  return s;
}

const char* how_it_runs(const OpDef& op) {
  if (op.view_offset) return "view";
  bool fast = false, reference = false;
  for (const KernelRow& row : kernel_rows(op, DeviceType::kCpu)) {
    (row.reference ? reference : fast) = true;
  }
  return fast ? "kernel" : op.compose ? "composed" : reference ? "reference" : "host";
}

const char* amp_of(const OpDef& op) {
  switch (op.amp) {
    case Amp::kLow:
      return "low";
    case Amp::kHigh:
      return "f32";
    case Amp::kPromote:
      return "widest";
    case Amp::kKeep:
      break;
  }
  return "";
}

std::string page() {
  std::vector<const OpDef*> ops(all_ops().begin(), all_ops().end());
  std::sort(ops.begin(), ops.end(),
            [](const OpDef* a, const OpDef* b) { return std::string_view(a->name) < b->name; });
  std::ostringstream out;
  out << "# Ops\n\nThe " << ops.size()
      << " ops of the table, as C++ (`ops/*.h`) and Python (`rutile.ops`) call them. Made from "
         "the\n"
         "definitions: `RUTILE_WRITE_DOCS=1 build/release/bin/tests/test_meta "
         "--gtest_filter='OpsPage*'`.\n\n"
         "`x?` may be absent, `xs*` are any number of tensors. *Runs* as a kernel of its own, as "
         "a\n"
         "composition of other ops (which the compiler inlines and fuses), as a view, or by the\n"
         "executor (control flow). *Gradient*: every order, unless a reason is named. *AMP*: "
         "float\n"
         "inputs are cast to the low precision, to f32, or to the widest among them.\n\n"
         "| op | runs as | gradient | AMP | what it computes |\n|---|---|---|---|---|\n";
  for (const OpDef* op : ops) {
    const bool has_grad = op->grad || (op->compose && !op->no_grad);
    out << "| `" << cell(call_of(*op)) << "` | " << how_it_runs(*op) << " | "
        << (has_grad ? "yes" : cell(cat("no: ", op->no_grad ? op->no_grad : "none"))) << " | "
        << amp_of(*op) << " | " << cell(op->doc ? op->doc : "") << " |\n";
  }
  return out.str();
}

TEST(OpsPage, IsWhatTheTableSays) {
  const std::string now = page();
  if (std::getenv("RUTILE_WRITE_DOCS")) std::ofstream(kPage) << now;
  std::ifstream file(kPage);
  std::stringstream written;
  written << file.rdbuf();
  EXPECT_TRUE(written.str() == now)
      << kPage << " is not what the table says. Write it by\n"
      << "  RUTILE_WRITE_DOCS=1 build/release/bin/tests/test_meta --gtest_filter='OpsPage*'";
}

}  // namespace
}  // namespace rutile
