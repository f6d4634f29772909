// SPDX-License-Identifier: Apache-2.0
// Reads what tests/golden/golden_data.py writes: inputs from hashes, results whole or as sketches.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "rutile/core/tensor.h"
#include "rutile/ops/op_def.h"

namespace rutile::golden {

using Json = nlohmann::json;

// A file of tests/golden.
Json read_golden_file(const std::string& name);

uint64_t hash_at(const std::string& seed, uint64_t i);
Shape shape_of(const Json& j);
// f64, or i64 for "modulo" and "integers".
Tensor make_input(const Json& j, const std::string& seed);
// Expects the described tensor; `name` is the seed of its sketches.
void compare(const Tensor& got, const Json& want, const std::string& name,
             double tolerance = 1e-11);

// Sets a field of `op`'s attributes; false if there is none of that name. null leaves the default.
bool set_attr(const OpDef& op, void* attrs, const std::string& name, const Json& value);

}  // namespace rutile::golden
