// SPDX-License-Identifier: Apache-2.0
// What of an op changes at run time: its number and its kernel rows. Private to ops/.
#pragma once

#include <vector>

#include "rutile/ops/kernel_table.h"

namespace rutile {

struct OpRuntime {
  int id = -1;
  std::vector<KernelRow> rows[3];  // by DeviceType
};

OpRuntime& op_runtime(const OpDef& op);

}  // namespace rutile
