// SPDX-License-Identifier: Apache-2.0
// The words that the source of a generated kernel is put together from.
#pragma once

#include <string>

#include "rutile/kernels/cuda/codegen_ir.h"

namespace rutile::cuda {

// What elements of the dtype are in registers, and in memory.
const char* compute_type(DType t);
const char* storage_type(DType t);
int64_t type_size(const std::string& compute_type);
// The type in which the op computes on inputs of type t.
DType computed_in(const OpDef& op, DType t);
const char* functor_name(const OpDef& op);
// A literal that reads back as v.
std::string number(double v);
// The place that number `name` has; that of a row and a column.
std::string offset(const Axes& axes, const std::string& name);
std::string offset(const Access& a, const std::string& row, const std::string& column);
// What an accumulator of that type comes to.
std::string reduced_value(const FusedIr::Reduction& r, const FusedIr& ir, const std::string& acc,
                          const std::string& type);
std::string describe_operands(const CallMeta& call);
std::string hash_name(const std::string& text);
std::string replaced(std::string text, const std::string& what, const std::string& by);

// Whether places need more than 31 bits, or a step goes backwards.
bool needs_wide_index(const CallMeta& call, const FusedIr& ir);
// Inputs that output 0 may be written over.
uint32_t may_overwrite(const CallMeta& call, const FusedIr& ir);

}  // namespace rutile::cuda
