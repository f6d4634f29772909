// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace rutile::apps {

const char* version();     // "0.1.0"
const char* git_commit();  // "" where the sources are in no repository

}  // namespace rutile::apps
