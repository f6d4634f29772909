// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/matmul.h"

#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/register.h"
#include "rutile/kernels/walk.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {

namespace {

template <class T>
struct SumIn {
  using type = std::conditional_t<is_floating(dtype_of<T>), double, Acc<T>>;
};
template <class R>
struct SumIn<std::complex<R>> {
  using type = std::complex<double>;
};

struct MatmulRef : Plan {
  TensorMeta x, y, z;
  Strides x_step, y_step;  // per dimension of z
  int64_t k = 0, x_k = 0, y_k = 0;
  bool bias = false;
  int64_t bias_step = 0;
};

template <class T, class R>
Status run(const Plan& base, const KernelArgs& args) {
  const auto& p = static_cast<const MatmulRef&>(base);
  using Sum = typename SumIn<T>::type;
  using A = std::conditional_t<std::is_integral_v<Sum>, uint64_t, Sum>;  // integers wrap
  const T* x = static_cast<const T*>(args.in[0]);
  const T* y = static_cast<const T*>(args.in[1]);
  const T* bias = p.bias ? static_cast<const T*>(args.in[2]) : nullptr;
  R* z = static_cast<R*>(args.out[0]);
  for (Walk w(p.z); !w.done(); w.next()) {
    const T* xs = x + offset_at(p.x_step, w.index());
    const T* ys = y + offset_at(p.y_step, w.index());
    A sum = 0;
    for (int64_t k = 0; k < p.k; ++k) {
      sum += static_cast<A>(xs[k * p.x_k]) * static_cast<A>(ys[k * p.y_k]);
    }
    if (bias) sum += static_cast<A>(bias[w.index().back() * p.bias_step]);
    z[w.offset()] = static_cast<R>(sum);
  }
  return Status();
}

Status prepare(const CallMeta& call, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<MatmulRef>();
  p->x = call.in(0);
  p->y = call.in(1);
  p->z = call.out();
  const bool linear = call.op == &ops::kLinear;
  const bool ta = !linear && call.as<ops::MatmulAttrs>().transpose_a;
  const bool tb = linear || call.as<ops::MatmulAttrs>().transpose_b;
  const int rx = p->x.rank(), ry = p->y.rank(), rz = p->z.rank();
  const int x_inner = rx > 1 && ta ? rx - 2 : rx - 1;
  const int y_inner = ry > 1 && !tb ? ry - 2 : ry - 1;
  p->k = p->x.dim(x_inner);
  p->x_k = p->x.strides[x_inner];
  p->y_k = p->y.strides[y_inner];
  p->x_step = p->y_step = Dims::filled(rz, 0);
  if (rx > 1) p->x_step[rz - (ry > 1 ? 2 : 1)] = p->x.strides[ta ? rx - 1 : rx - 2];
  if (ry > 1) p->y_step[rz - 1] = p->y.strides[tb ? ry - 2 : ry - 1];
  const int batch = rz - (rx > 1) - (ry > 1);
  for (int i = 0; i < batch; ++i) {
    const int dx = i - batch + rx - 2, dy = i - batch + ry - 2;
    if (rx > 2 && dx >= 0 && p->x.dim(dx) != 1) p->x_step[i] = p->x.strides[dx];
    if (ry > 2 && dy >= 0 && p->y.dim(dy) != 1) p->y_step[i] = p->y.strides[dy];
  }
  p->bias = linear && call.has(2);
  if (p->bias) p->bias_step = call.in(2).strides[0];
  const DType to = p->z.dtype;
  if (is_complex(to)) {
    using F = std::complex<float>;
    using D = std::complex<double>;
    p->run = to == DType::kC64 ? run<F, F> : run<D, D>;
  } else if (is_floating(to)) {
    p->run = dispatch_float(p->x.dtype, [to](auto t) -> RunFn {
      using T = typename decltype(t)::type;
      return dispatch_float(to, [](auto r) -> RunFn { return run<T, typename decltype(r)::type>; });
    });
  } else {
    p->run = dispatch_int(p->x.dtype, [](auto t) -> RunFn {
      using T = typename decltype(t)::type;
      return run<T, T>;
    });
  }
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_matmul_ref() {
  register_kernel(
      {.op = &ops::kMatmul, .name = "matmul_ref", .prepare = prepare, .reference = true});
  register_kernel(
      {.op = &ops::kLinear, .name = "linear_ref", .prepare = prepare, .reference = true});
}

}  // namespace rutile::kernels
