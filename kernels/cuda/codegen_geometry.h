// SPDX-License-Identifier: Apache-2.0
// Who does what in a generated kernel.
#pragma once

#include "rutile/kernels/cuda/codegen_ir.h"

namespace rutile::cuda {

inline constexpr int kGeneratedThreads = 256;  // of a block, at least

inline int64_t ceil_div(int64_t n, int64_t by) { return (n + by - 1) / by; }
// The smallest power of two that is not below n.
int64_t power_above(int64_t n);

// `lanes` threads share a row, `members` rows are in a block, a thread has `chunks` vectors of
// `each` elements; a row longer than that is `rounds` of them in each of `segments`. `groups`
// blocks take the rows of a segment in turn.
struct Geometry {
  int each = 1, chunks = 1, lanes = 1, threads = kGeneratedThreads;
  int64_t rounds = 1, segments = 1, groups = 1;

  int members() const { return threads / lanes; }
  int64_t tile() const { return int64_t{lanes} * each * chunks; }
  int64_t blocks() const { return groups * segments; }
  // Whether `a` can be read in vectors of `each`: neighbours in memory.
  bool vector_fits(const Access& a) const;
  // Whether another kernel adds up what the blocks leave, and how much that is.
  bool partial(const FusedIr::Reduction& r) const;
  int64_t partials(const FusedIr::Reduction& r, const FusedIr& ir) const;
};

// Whether later phases read the elements again.
inline bool is_kept(const FusedIr::Value& v) { return v.full && v.last > v.phase; }

// `vectors`: accesses of up to 16 bytes. kUnsupported with the reason.
Status choose_geometry(const FusedIr& ir, const CallMeta& call, bool vectors, Geometry* g);

}  // namespace rutile::cuda
