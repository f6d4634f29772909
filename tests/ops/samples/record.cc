// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/record.h"

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {

using namespace rutile::ops;

RUTILE_SAMPLES(record) {
  const RecordAttrs a{.kind = "tensor", .tag = "x"};
  s.add({in({3, 7})}, a).dtypes(kEveryType);
  s.add({in({2, 6, 3, 3}).channels_last()}, a);
  s.add({in({5}).gaps()}, a);
  s.add({in({0, 3})}, a).name("empty");
  s.error({in({3})}, RecordAttrs{}, ErrorCode::kValue, "expects a tag");
}

}  // namespace rutile::samples
