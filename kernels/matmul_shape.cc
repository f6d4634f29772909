// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/matmul_shape.h"

#include "rutile/ops/epilogues.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/post_ops.h"

namespace rutile::kernels {

namespace {

// Stride of batch dimension i (of `batch`) in an operand with `own` leading dimensions.
int64_t batch_stride(const TensorMeta& t, int own, int rank, int i) {
  const int d = i - (rank - own);
  return d < 0 || t.dim(d) == 1 ? 0 : t.strides[d];
}

void merge_batch(MatmulShape* s) {
  Dims size, a, b, c;
  for (int i = 0; i < s->batch.rank(); ++i) {
    if (s->batch[i] == 1) continue;
    const int last = size.rank() - 1;
    auto continues = [&](const Dims& outer, int64_t inner) {
      return outer[last] == inner * s->batch[i];
    };
    if (last >= 0 && continues(a, s->a_batch[i]) && continues(b, s->b_batch[i]) &&
        continues(c, s->c_batch[i])) {
      size[last] *= s->batch[i];
      a[last] = s->a_batch[i];
      b[last] = s->b_batch[i];
      c[last] = s->c_batch[i];
      continue;
    }
    size.push_back(s->batch[i]);
    a.push_back(s->a_batch[i]);
    b.push_back(s->b_batch[i]);
    c.push_back(s->c_batch[i]);
  }
  s->batch = size;
  s->a_batch = a;
  s->b_batch = b;
  s->c_batch = c;
}

// One matrix b for the whole last batch dimension: its matrices a are rows of one larger matrix.
void fold_rows(MatmulShape* s) {
  while (!s->batch.empty() && s->b_batch.back() == 0) {
    const int64_t a = s->a_batch.back(), c = s->c_batch.back();
    if (s->m == 1) {
      s->a_m = a;
      s->c_m = c;
    } else if (a != s->m * s->a_m || c != s->m * s->c_m) {
      return;
    }
    s->m *= s->batch.back();
    s->batch.pop_back();
    s->a_batch.pop_back();
    s->b_batch.pop_back();
    s->c_batch.pop_back();
  }
}

}  // namespace

bool is_linear(const OpDef* op) {
  return op == &ops::kLinear || op == &ops::kLinearAct || op == &ops::kLinearGelu;
}

MatmulShape matmul_shape(const CallMeta& call) {
  const TensorMeta &x = call.in(0), &y = call.in(1), &z = call.out();
  const bool linear = is_linear(call.op), plain = linear || call.op == &ops::kMatmulGeluGrad;
  const bool ta = !plain && call.as<ops::MatmulAttrs>().transpose_a;
  const bool tb = linear || (!plain && call.as<ops::MatmulAttrs>().transpose_b);
  MatmulShape s;
  const int rx = x.rank(), ry = y.rank();
  const int bx = rx > 2 ? rx - 2 : 0, by = ry > 2 ? ry - 2 : 0;
  const int rows = rx > 1 ? (ta ? rx - 1 : rx - 2) : -1;
  const int inner_x = rx > 1 ? (ta ? rx - 2 : rx - 1) : 0;
  const int cols = ry > 1 ? (tb ? ry - 2 : ry - 1) : -1;
  const int inner_y = ry > 1 ? (tb ? ry - 1 : ry - 2) : 0;
  s.k = x.dim(inner_x);
  s.a_k = x.strides[inner_x];
  s.b_k = y.strides[inner_y];
  const int rank = bx > by ? bx : by;
  int d = rank;  // dimension of the result after the batch
  if (rows >= 0) {
    s.m = x.dim(rows);
    s.a_m = x.strides[rows];
    s.c_m = z.strides[d++];
  }
  if (cols >= 0) {
    s.n = y.dim(cols);
    s.b_n = y.strides[cols];
    s.c_n = z.strides[d];
  }
  for (int i = 0; i < rank; ++i) {
    s.batch.push_back(z.dim(i));
    s.a_batch.push_back(batch_stride(x, bx, rank, i));
    s.b_batch.push_back(batch_stride(y, by, rank, i));
    s.c_batch.push_back(z.dim(i) == 1 ? 0 : z.strides[i]);
  }
  merge_batch(&s);
  fold_rows(&s);
  return s;
}

}  // namespace rutile::kernels
