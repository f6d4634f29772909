// SPDX-License-Identifier: Apache-2.0
#include "rutile/tests/fuzz/target.h"

RUTILE_FUZZ(blob) {
  rutile::io::gunzip_prefix(*blob, 100);
  rutile::io::gunzip(*blob, 1 << 20);
}
