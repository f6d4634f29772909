// SPDX-License-Identifier: Apache-2.0
#include "rutile/io/safetensors.h"

#include "rutile/tests/fuzz/target.h"

RUTILE_FUZZ(blob) {
  const auto file = rutile::io::SafetensorsFile::parse(blob);
  for (const auto& entry : file.entries()) {
    if (entry.dtype) rutile::fuzz::read_all(file.tensor(entry.name));
  }
}
