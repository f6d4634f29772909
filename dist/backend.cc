// SPDX-License-Identifier: Apache-2.0
#include "rutile/dist/backend.h"

#include <dlfcn.h>

#include <cstring>
#include <map>
#include <mutex>

#include "rutile/core/build_id.h"
#include "rutile/core/plugin.h"

namespace rutile::dist {

namespace {

const char* cure(const std::string& name) {
  if (name == "gloo") {
    return "install Gloo (apt-get install libgloo-dev) and build Rutile again: its summary then "
           "says 'gloo'";
  }
  return "install NCCL and the CUDA toolkit and build Rutile again with -DRUTILE_NCCL=ON";
}

Status open_plugin(const std::string& name, const CommPlugin** plugin) {
  const Status s =
      open_library(name, plugin_folders(), [plugin](void* library, const std::string& path) {
        const auto fn = reinterpret_cast<CommPluginFn>(dlsym(library, "rutile_comm_plugin"));
        const CommPlugin* const found = fn ? fn() : nullptr;
        if (!found || found->abi != kCommAbi || std::strcmp(found->build, build_id()) != 0) {
          return Status(ErrorCode::kUnsupported, cat(path, ": was made for another build"));
        }
        *plugin = found;
        return Status();
      });
  if (s.ok()) return Status();
  return Status(ErrorCode::kUnsupported, cat("librutile_", name, ".so cannot be used; ", cure(name),
                                             ". Tried:", s.message()));
}

}  // namespace

std::vector<std::string> comm_plugin_paths(const std::string& name) {
  std::vector<std::string> paths;
  for (const std::string& folder : plugin_folders()) {
    paths.push_back(cat(folder, "/librutile_", name, ".so"));
  }
  return paths;
}

Status load_comm_plugin(const std::string& name, const CommPlugin** plugin) {
  static std::mutex mutex;
  static std::map<std::string, const CommPlugin*>& loaded =
      *new std::map<std::string, const CommPlugin*>;
  const std::lock_guard lock(mutex);
  if (const auto it = loaded.find(name); it != loaded.end()) {
    *plugin = it->second;
    return Status();
  }
  RUTILE_RETURN_IF_ERROR(open_plugin(name, plugin));
  loaded.emplace(name, *plugin);
  return Status();
}

}  // namespace rutile::dist
