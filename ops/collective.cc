// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/collective.h"

#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::ops {

namespace {

Status size_of(const std::string& group, int64_t wanted, int64_t* size) {
  std::shared_ptr<Communicator> found;
  RUTILE_RETURN_IF_ERROR(find_communicator(group, &found));
  *size = found->size();
  if (wanted < 0) return value_error(cat("size expects 0 or the group's size, got ", wanted));
  if (wanted > 0 && wanted != *size) {
    return value_error(
        cat("was made for a group of ", wanted, " ranks; '", group, "' has ", *size));
  }
  return Status();
}

Status check_reduce(Reduce reduce, DType t) {
  if (reduce == Reduce::kMean && !is_floating(t) && !is_complex(t)) {
    return type_error(cat("the mean expects a floating-point x, got ", t));
  }
  if (is_complex(t) && reduce != Reduce::kSum && reduce != Reduce::kMean) {
    return type_error("complex numbers are added up or averaged only");
  }
  if (t == DType::kBool && (reduce == Reduce::kSum || reduce == Reduce::kProd)) {
    return type_error("bool expects max (any) or min (all)");
  }
  return Status();
}

Status check_wire(OptionalDType wire, DType t) {
  if (wire.set && (!is_floating(t) || !is_floating(wire.value))) {
    return type_error(cat("only floats are sent as others, got ", t, " as ", wire.value));
  }
  return Status();
}

Status infer_all_reduce(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<AllReduceAttrs>();
  const TensorMeta& x = c.in(0);
  int64_t size = 0;
  RUTILE_RETURN_IF_ERROR(size_of(a.group, 0, &size));
  RUTILE_RETURN_IF_ERROR(check_reduce(a.reduce, x.dtype));
  RUTILE_RETURN_IF_ERROR(check_wire(a.wire, x.dtype));
  if (!(a.bucket_mb >= 0))
    return value_error(cat("bucket_mb expects 0 or more, got ", a.bucket_mb));
  *out = TensorMeta(x.shape, x.dtype, x.device);
  return Status();
}

Status infer_all_gather(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<GroupAttrs>();
  const TensorMeta& x = c.in(0);
  int64_t size = 0;
  RUTILE_RETURN_IF_ERROR(size_of(a.group, a.size, &size));
  if (x.rank() == 0) return value_error("x expects at least 1 dimension, got none");
  Shape shape = x.shape;
  shape[0] *= size;
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, x.dtype, x.device);
  return Status();
}

// Dimension 0 in equal parts.
Status check_parts(const TensorMeta& x, const std::string& group, int64_t size) {
  if (x.rank() == 0) return value_error("x expects at least 1 dimension, got none");
  if (x.dim(0) % size != 0) {
    return value_error(cat("dimension 0 of x expects a multiple of ", size, ", the ranks of '",
                           group, "', got ", x.dim(0)));
  }
  return Status();
}

Status infer_all_to_all(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<GroupAttrs>();
  const TensorMeta& x = c.in(0);
  int64_t size = 0;
  RUTILE_RETURN_IF_ERROR(size_of(a.group, a.size, &size));
  RUTILE_RETURN_IF_ERROR(check_parts(x, a.group, size));
  *out = TensorMeta(x.shape, x.dtype, x.device);
  return Status();
}

Status infer_reduce_scatter(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<ReduceScatterAttrs>();
  const TensorMeta& x = c.in(0);
  int64_t size = 0;
  RUTILE_RETURN_IF_ERROR(size_of(a.group, a.size, &size));
  RUTILE_RETURN_IF_ERROR(check_reduce(a.reduce, x.dtype));
  RUTILE_RETURN_IF_ERROR(check_parts(x, a.group, size));
  Shape shape = x.shape;
  shape[0] /= size;
  *out = TensorMeta(shape, x.dtype, x.device);
  return Status();
}

Status infer_broadcast(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<BroadcastAttrs>();
  const TensorMeta& x = c.in(0);
  int64_t size = 0;
  RUTILE_RETURN_IF_ERROR(size_of(a.group, 0, &size));
  if (a.root < 0 || a.root >= size) {
    return value_error(cat("root expects a rank below ", size, ", got ", a.root));
  }
  *out = TensorMeta(x.shape, x.dtype, x.device);
  return Status();
}

Status infer_start(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<AllReduceManyAttrs>();
  int64_t size = 0, numel = 0;
  RUTILE_RETURN_IF_ERROR(size_of(a.group, a.scatter, &size));
  if (c.num_inputs() == 0) return value_error("expects at least 1 tensor, got none");
  const DType t = c.in(0).dtype;
  for (int i = 0; i < c.num_inputs(); ++i) {
    if (c.in(i).dtype != t) {
      return type_error(cat("expects tensors of one dtype, got ", t, " and ", c.in(i).dtype));
    }
    const int64_t n = c.in(i).numel();
    numel += a.scatter > 0 ? a.scatter * part_of(n, a.scatter) : n;
  }
  const DType sent = a.wire.set ? a.wire.value : t;
  RUTILE_RETURN_IF_ERROR(check_wire(a.wire, t));
  RUTILE_RETURN_IF_ERROR(check_reduce(a.reduce, sent));
  const Shape shape{numel};
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, sent, c.in(0).device);
  return Status();
}

Status infer_wait(const CallMeta& c, TensorMeta* out) {
  if (c.in(0).rank() != 1)
    return value_error(cat("flat expects 1 dimension, got ", c.in(0).rank()));
  *out = c.in(0);
  return Status();
}

// Reductions of the ranks' results: the gradient of each rank's x is that of the sum over all
// ranks' losses.
GradResult grad_all_reduce(GradCtx& ctx) {
  const auto& a = ctx.attrs<AllReduceAttrs>();
  switch (a.reduce) {
    case Reduce::kSum:
    case Reduce::kMean:
      return {all_reduce(ctx.grad(), a)};
    case Reduce::kMax:
    case Reduce::kMin: {
      const Tensor total = all_reduce(ctx.grad(), {.group = a.group});
      return {total * cast(equal(ctx.in(0), ctx.out()), total.dtype())};
    }
    case Reduce::kProd: {
      const Tensor total = all_reduce(ctx.grad() * ctx.out(), {.group = a.group});
      return {total / ctx.in(0)};
    }
  }
  return {};
}

// For a dtype on the wire, which no kernel takes.
TensorList compose_all_reduce(const void* attrs, std::span<const Tensor> in) {
  AllReduceAttrs a = *static_cast<const AllReduceAttrs*>(attrs);
  const DType wire = a.wire.set ? a.wire.value : in[0].dtype();
  a.wire = {};
  return {cast(all_reduce(cast(in[0], wire), a), in[0].dtype())};
}

GradResult grad_all_gather(GradCtx& ctx) {
  const auto& a = ctx.attrs<GroupAttrs>();
  return {reduce_scatter(ctx.grad(), {.group = a.group, .size = a.size})};
}

GradResult grad_all_to_all(GradCtx& ctx) {
  return {all_to_all(ctx.grad(), ctx.attrs<GroupAttrs>())};
}

GradResult grad_reduce_scatter(GradCtx& ctx) {
  const auto& a = ctx.attrs<ReduceScatterAttrs>();
  const GroupAttrs group{.group = a.group, .size = a.size};
  const Tensor g = all_gather(ctx.grad(), group);
  switch (a.reduce) {
    case Reduce::kSum:
      return {g};
    case Reduce::kMean:
      return {g * Tensor::scalar(1.0 / communicator(a.group)->size(), g.dtype())};
    case Reduce::kMax:
    case Reduce::kMin:
      return {g * cast(equal(ctx.in(0), all_gather(ctx.out(), group)), g.dtype())};
    case Reduce::kProd:
      return {g * all_gather(ctx.out(), group) / ctx.in(0)};
  }
  return {};
}

// The root's x reaches every rank; what the others gave reaches none.
GradResult grad_broadcast(GradCtx& ctx) {
  const auto& a = ctx.attrs<BroadcastAttrs>();
  const Tensor total = all_reduce(ctx.grad(), {.group = a.group});
  const double here = communicator(a.group)->rank() == a.root ? 1 : 0;
  return {total * Tensor::scalar(here, total.dtype())};
}

}  // namespace

constinit const OpDef kAllReduce = define({
    .name = "all_reduce",
    .inputs = {"x"},
    .attrs = attrs_of<AllReduceAttrs>(),
    .infer = infer_all_reduce,
    .flops = flops_per_input<0>,
    .grad = grad_all_reduce,
    .saves = {"x", "y"},
    .compose = compose_all_reduce,
    .effects = kCollective,
    .doc = "Sum, mean, max, min or prod of x over the ranks of a group, element by element.",
});
constinit const OpDef kAllGather = define({
    .name = "all_gather",
    .inputs = {"x"},
    .attrs = attrs_of<GroupAttrs>(),
    .infer = infer_all_gather,
    .grad = grad_all_gather,
    .effects = kCollective,
    .doc = "The ranks' tensors behind one another along dimension 0.",
});
constinit const OpDef kAllToAll = define({
    .name = "all_to_all",
    .inputs = {"x"},
    .attrs = attrs_of<GroupAttrs>(),
    .infer = infer_all_to_all,
    .grad = grad_all_to_all,
    .effects = kCollective,
    .doc = "Part r of dimension 0 goes to rank r; what comes stands in the order of the ranks.",
});
constinit const OpDef kReduceScatter = define({
    .name = "reduce_scatter",
    .inputs = {"x"},
    .attrs = attrs_of<ReduceScatterAttrs>(),
    .infer = infer_reduce_scatter,
    .flops = flops_per_input<0>,
    .grad = grad_reduce_scatter,
    .saves = {"x", "y"},
    .effects = kCollective,
    .doc = "Rank r gets the r-th part along dimension 0 of what all_reduce gives.",
});
constinit const OpDef kBroadcast = define({
    .name = "broadcast",
    .inputs = {"x"},
    .attrs = attrs_of<BroadcastAttrs>(),
    .infer = infer_broadcast,
    .grad = grad_broadcast,
    .effects = kCollective,
    .doc = "The tensor of rank `root`, on every rank of a group.",
});
constinit const OpDef kAllReduceStart = define({
    .name = "all_reduce_start",
    .inputs = {"xs*"},
    .outputs = {"flat"},
    .attrs = attrs_of<AllReduceManyAttrs>(),
    .infer = infer_start,
    .effects = kCollective,
    .no_grad = "the compiler makes it of all_reduce, which has one",
    .doc = "Packs tensors into one and starts to reduce it; all_reduce_wait gives the result.",
});
constinit const OpDef kAllReduceWait = define({
    .name = "all_reduce_wait",
    .inputs = {"flat"},
    .outputs = {"reduced"},
    .attrs = attrs_of<AllReduceManyAttrs>(),
    .infer = infer_wait,
    .alias_of = {"flat"},
    .mutates = {"flat"},
    .effects = kCollective,
    .no_grad = "the compiler makes it of all_reduce, which has one",
    .doc = "The result of all_reduce_start, when it is there.",
});

Tensor all_reduce(Arg x, AllReduceAttrs attrs) {
  return call1(kAllReduce, &attrs, {x.tensor}, x.where);
}
Tensor all_gather(Arg x, GroupAttrs attrs) {
  if (attrs.size == 0) attrs.size = communicator(attrs.group)->size();
  return call1(kAllGather, &attrs, {x.tensor}, x.where);
}
Tensor all_to_all(Arg x, GroupAttrs attrs) {
  if (attrs.size == 0) attrs.size = communicator(attrs.group)->size();
  return call1(kAllToAll, &attrs, {x.tensor}, x.where);
}
Tensor reduce_scatter(Arg x, ReduceScatterAttrs attrs) {
  if (attrs.size == 0) attrs.size = communicator(attrs.group)->size();
  return call1(kReduceScatter, &attrs, {x.tensor}, x.where);
}
Tensor broadcast(Arg x, BroadcastAttrs attrs) {
  return call1(kBroadcast, &attrs, {x.tensor}, x.where);
}

}  // namespace rutile::ops
