// SPDX-License-Identifier: Apache-2.0
#include "rutile/io/idx.h"

#include "rutile/tests/fuzz/target.h"

RUTILE_FUZZ(blob) { rutile::fuzz::read_all(rutile::io::parse_idx(blob)); }
