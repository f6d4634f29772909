// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/transfer.h"

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {

using namespace rutile::ops;

RUTILE_SAMPLES(to_device) {
  s.add({in({3, 7})}, ToDeviceAttrs{}).dtypes(kEveryType);
  s.add({in({2, 6, 3, 3}).channels_last()}, ToDeviceAttrs{});
  s.add({in({5}).gaps()}, ToDeviceAttrs{});
  s.add({in({0, 3})}, ToDeviceAttrs{}).name("empty");
  s.error({in({3})}, ToDeviceAttrs{"moon"}, ErrorCode::kValue, "knows no device 'moon'");
}

}  // namespace rutile::samples
