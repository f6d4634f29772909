// SPDX-License-Identifier: Apache-2.0
#include "rutile/train/checkpoint.h"

#include "rutile/tests/fuzz/target.h"

RUTILE_FUZZ(blob) {
  for (const auto& [name, tensor] : rutile::train::parse_checkpoint(blob).values) {
    rutile::fuzz::read_all(tensor);
  }
}
