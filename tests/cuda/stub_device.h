// SPDX-License-Identifier: Apache-2.0
// A plugin for DeviceType::kCuda whose memory is the host's, made by the host's compiler: graphs
// that stand on a GPU can be compiled where there is none.
#pragma once

namespace rutile::cuda {

// Opens it once. False where there is a GPU, which is used as it is.
bool use_stub_device();

}  // namespace rutile::cuda
