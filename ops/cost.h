// SPDX-License-Identifier: Apache-2.0
// What a call costs: arithmetic and memory traffic, from metas alone. Compared with what the
// machine reaches, it gives the least time that the call can take (graph/explain.h).
//
//   const TensorMeta* in[] = {&x.meta(), &y.meta()};
//   const Cost c = cost_of(CallMeta{&ops::kMatmul, &attrs, in, {&z, 1}});
//   c.flops;  // 2 m n k: a multiplication and an addition count one each
//   c.bytes;  // every operand read once, every result written once, as they lie in memory
//
// Where an op defines no .flops: 1 per element of an elementwise op's results, otherwise 0 (views,
// copies). Where it defines no .bytes: operands and results; a view moves nothing.
#pragma once

#include "rutile/ops/op_def.h"

namespace rutile {

struct Cost {
  double flops = 0, bytes = 0;
};
// Needs the outputs' metas. Also for shapes without elements; never throws.
RUTILE_API Cost cost_of(const CallMeta& call);

// Bytes that hold elements of `m`: dimensions without stride are one element, gaps of a strided
// view count nothing, the padding of a blocked layout counts.
RUTILE_API double touched_bytes(const TensorMeta& m);

// Definitions of .flops that many ops share. An addition, a comparison, an exponential count 1.
RUTILE_API double elements(const TensorMeta& m);

// N for each element of input `i`.
template <int N, int i = 0>
double flops_per_input(const CallMeta& c) {
  return c.has(i) ? N * elements(c.in(i)) : 0;
}
// N for each element of each output.
template <int N>
double flops_per_output(const CallMeta& c) {
  double n = 0;
  for (const TensorMeta& m : c.outputs) n += N * elements(m);
  return n;
}
// N for each element of each input.
template <int N>
double flops_per_operand(const CallMeta& c) {
  double n = 0;
  for (const TensorMeta* m : c.inputs) n += m ? N * elements(*m) : 0;
  return n;
}

// Definition of .bytes for ops that read only those elements of input `table` that they give.
template <int table>
double bytes_of_lookup(const CallMeta& c) {
  double n = 0;
  for (int i = 0; i < c.num_inputs(); ++i) n += c.has(i) && i != table ? touched_bytes(c.in(i)) : 0;
  for (const TensorMeta& m : c.outputs) n += 2 * touched_bytes(m);
  return n;
}

}  // namespace rutile
