// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/transfer.h"

#include "rutile/core/device_runtime.h"

namespace rutile::ops {

namespace {

Status infer_to_device(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  const std::string& name = c.as<ToDeviceAttrs>().device;
  Device device;
  if (!parse_device(name, &device)) {
    return value_error(cat("knows no device '", name, "'; devices are cpu, cuda and cuda:1"));
  }
  *out = x;
  if (x.layout == kStrided && !x.is_dense()) *out = TensorMeta(x.shape, x.dtype, device);
  out->device = device;
  return Status();
}

GradResult grad_to_device(GradCtx& ctx) { return {to_device(ctx.grad(), ctx.in_meta(0).device)}; }

}  // namespace

constinit const OpDef kToDevice = define({
    .name = "to_device",
    .inputs = {"x"},
    .attrs = attrs_of<ToDeviceAttrs>(),
    .infer = infer_to_device,
    .grad = grad_to_device,
    .zero_preserving = true,
    .doc = "The same values in the memory of another device.",
});

Tensor to_device(Arg x, Device device) {
  if (x.tensor.device() == device) return x.tensor;
  // Says what is missing before an op that looks for a kernel does.
  if (device.type != DeviceType::kCpu) (void)device_runtime(device);
  const ToDeviceAttrs a{to_string(device)};
  return call1(kToDevice, &a, {x.tensor}, x.where);
}

Tensor upload(const Tensor& x, Device device) {
  if (!x.defined() || x.device() == device) return x;
  const bool plain = x.device() == kCpu && !x.is_symbolic() && x.meta().layout == kStrided;
  if (!plain || !x.meta().is_dense() || call_modes().trace) return to_device(x, device);
  TensorMeta meta = x.meta();
  meta.device = device;
  Ref<Storage> storage =
      device_runtime(device).upload(x.impl()->data, static_cast<size_t>(meta.nbytes()));
  void* const data = storage->data();
  return Tensor::view_of(std::move(storage), data, meta);
}

Tensor to_device_in_force(const Tensor& x) {
  const Device device = call_modes().device;
  if (device == kCpu || !x.defined() || x.is_symbolic() || x.device() == device) return x;
  ScopedValue<CallModes> direct(call_modes(), CallModes());
  return to_device(x, device);
}

}  // namespace rutile::ops

namespace rutile {
Tensor Tensor::to(Device device) const { return ops::to_device(*this, device); }
}  // namespace rutile
