// SPDX-License-Identifier: Apache-2.0
// Each family of kernels has one function that registers its rows, best first; kernels/register.cc
// calls them in order: oneDNN, own kernels, reference last.
#pragma once

namespace rutile::kernels {
void register_all();
}  // namespace rutile::kernels
