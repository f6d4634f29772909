// SPDX-License-Identifier: Apache-2.0
#include "rutile/dist/backend.h"

#include <dlfcn.h>
#include <unistd.h>

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
  std::string tried;
  for (const std::string& path : comm_plugin_paths(name)) {
    if (access(path.c_str(), F_OK) != 0) {
      tried += cat("\n  ", path, ": no such file");
      continue;
    }
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
      tried += cat("\n  ", path, ": ", dlerror());
      continue;
    }
    const auto fn = reinterpret_cast<CommPluginFn>(dlsym(handle, "rutile_comm_plugin"));
    const CommPlugin* found = fn ? fn() : nullptr;
    if (found && found->abi == kCommAbi && std::strcmp(found->build, build_id()) == 0) {
      *plugin = found;
      return Status();
    }
    tried += cat("\n  ", path, ": was made for another build of Rutile");
  }
  return Status(ErrorCode::kUnsupported,
                cat("librutile_", name, ".so cannot be used; ", cure(name), ". Tried:", tried));
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
