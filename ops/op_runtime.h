// SPDX-License-Identifier: Apache-2.0
// What of an op changes at run time: its number and its kernel rows. Private to ops/.
#pragma once

#include <atomic>
#include <deque>
#include <vector>

#include "rutile/ops/kernel_table.h"

namespace rutile {

struct OpRuntime {
  int id = -1;
  std::atomic<int> repeats{-1};  // may_repeat(), -1 until it is asked for
  // By DeviceType. A plugin adds rows while others look them up: it makes a new list, and the old
  // ones stay for those who read them.
  std::atomic<const std::vector<KernelRow>*> rows[3] = {};
  std::deque<std::vector<KernelRow>> lists;
};

OpRuntime& op_runtime(const OpDef& op);
bool is_library_op(const OpDef& op);  // of op_list.inc

}  // namespace rutile
