// SPDX-License-Identifier: Apache-2.0
// A collective by a plugin's functions, for memory of the host and of devices alike.
#pragma once

#include "rutile/dist/backend.h"

namespace rutile::dist {

// Broadcast takes what stands in c.out. Error{kUnsupported} for those that no single function
// carries out: barrier, send and receive.
Status call_plugin(const CommFunctions& f, void* comm, const Collective& c, void* stream);

}  // namespace rutile::dist
