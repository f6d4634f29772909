// SPDX-License-Identifier: Apache-2.0
// Shared libraries that add devices: found, checked and opened on first use, never closed. One that
// cannot be opened leaves everything else as it was.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "rutile/core/device.h"
#include "rutile/core/device_plugin.h"
#include "rutile/core/error.h"

namespace rutile {

// The devices of a type, from its plugin librutile_<type>.so, which is looked for in the folders of
// RUTILE_PLUGIN_PATH (separated by ':'), beside librutile.so, then on the loader's path. The first
// call opens it; a failure is kept and given again. Null and an error that says which library was
// looked for, where, and which build is wanted.
RUTILE_API Status find_devices(DeviceType type, const DeviceFns** fns);

// Where plugins are looked for before the loader's path.
RUTILE_API std::vector<std::string> plugin_folders();

// Opens librutile_<name>.so of one of the folders, then of the loader's path, until `start` takes
// one; it stays open. Each library that was tried is a line of the error's text, with what the
// loader or `start` said.
RUTILE_API Status
open_library(const std::string& name, const std::vector<std::string>& folders,
             const std::function<Status(void* library, const std::string& path)>& start);

// Opens librutile_<name>.so of one of the folders or the loader's path and lets it speak to `host`.
// Every library that was tried, with what the loader said, is in the error's text.
RUTILE_API Status open_plugin(const std::string& name, const std::vector<std::string>& folders,
                              PluginHost& host);

}  // namespace rutile
