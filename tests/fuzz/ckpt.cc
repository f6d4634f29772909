// SPDX-License-Identifier: Apache-2.0
#include "rutile/io/ckpt.h"

#include "rutile/tests/fuzz/target.h"

RUTILE_FUZZ(blob) {
  for (const auto& entry : rutile::io::parse_ckpt(blob)) {
    if (!entry.is_text) rutile::fuzz::read_all(entry.tensor);
  }
}
