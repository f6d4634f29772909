// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/plugin.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <string_view>

#include "rutile/core/build_id.h"

namespace rutile {
namespace {

using InfoFn = const PluginInfo* (*)() noexcept;
using InitFn = Status (*)(PluginHost&) noexcept;

// The folder that this code was loaded from.
std::string own_folder() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<void*>(&build_id), &info) == 0 || info.dli_fname == nullptr)
    return "";
  const std::string file = info.dli_fname;
  const size_t slash = file.rfind('/');
  return slash == std::string::npos ? "." : file.substr(0, slash);
}

std::string loader_error() {
  const char* text = dlerror();
  return text != nullptr ? text : "unknown error";
}

// What a library that was opened says of itself.
Status start(void* library, const std::string& path, PluginHost& host) {
  const auto info = reinterpret_cast<InfoFn>(dlsym(library, "rutile_plugin_info"));
  const auto init = reinterpret_cast<InitFn>(dlsym(library, "rutile_plugin_init"));
  if (info == nullptr || init == nullptr) {
    return Status(ErrorCode::kUnsupported, cat(path, " is no plugin: ", loader_error()));
  }
  const PluginInfo* about = info();
  if (about == nullptr || std::string_view(about->build_id) != build_id()) {
    return Status(ErrorCode::kUnsupported,
                  cat(path, " belongs to build ", about ? about->build_id : "none"));
  }
  Status s = init(host);
  return s.ok() ? Status() : Status(s.code(), cat(path, ": ", s.message()));
}

// Keeps the devices that a plugin adds.
class Keeper final : public PluginHost {
 public:
  explicit Keeper(DeviceType type) : type_(type) {}
  Status add_device(const DeviceFns* fns) override {
    if (fns == nullptr || fns->type != type_) {
      return Status(ErrorCode::kUnsupported,
                    cat("gives no device of type ", device_type_name(type_)));
    }
    fns_ = fns;
    return Status();
  }
  const DeviceFns* fns() const { return fns_; }

 private:
  DeviceType type_;
  const DeviceFns* fns_ = nullptr;
};

struct Found {
  std::once_flag once;
  const DeviceFns* fns = nullptr;
  Status failure;
};

void search(DeviceType type, Found* found) {
  Keeper host(type);
  found->failure = open_plugin(device_type_name(type), plugin_folders(), host);
  if (!found->failure.ok()) return;
  found->fns = host.fns();
  if (found->fns == nullptr) {
    found->failure = Status(ErrorCode::kUnsupported,
                            cat("the plugin for ", device_type_name(type), " gives no device"));
  }
}

}  // namespace

std::vector<std::string> plugin_folders() {
  std::vector<std::string> folders;
  if (const char* list = std::getenv("RUTILE_PLUGIN_PATH")) {
    std::string_view left = list;
    while (!left.empty()) {
      const size_t colon = left.find(':');
      if (colon != 0) folders.emplace_back(left.substr(0, colon));
      left = colon == std::string_view::npos ? std::string_view() : left.substr(colon + 1);
    }
  }
  std::string own = own_folder();
  if (!own.empty() && std::find(folders.begin(), folders.end(), own) == folders.end()) {
    folders.push_back(std::move(own));
  }
  return folders;
}

Status open_library(const std::string& name, const std::vector<std::string>& folders,
                    const std::function<Status(void* library, const std::string& path)>& start) {
  const std::string file = cat("librutile_", name, ".so");
  std::string tried;
  std::vector<void*> opened;
  auto note = [&tried](const std::string& text) { tried += cat("\n  ", text); };
  for (size_t i = 0; i <= folders.size(); ++i) {
    const bool loader = i == folders.size();
    const std::string path = loader ? file : cat(folders[i], "/", file);
    if (!loader && ::access(path.c_str(), F_OK) != 0) {
      note(cat(path, ": no such file"));
      continue;
    }
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      // Where a plugin was found and said why it cannot work, another place has nothing to add.
      if (!loader || opened.empty()) note(loader_error());
      continue;
    }
    // Another name of one that has had its say: the loader knows by its name what is open.
    if (std::find(opened.begin(), opened.end(), library) != opened.end()) continue;
    opened.push_back(library);
    const Status s = start(library, path);
    if (s.ok()) return Status();
    note(s.message());
  }
  return Status(ErrorCode::kUnsupported, tried);
}

Status open_plugin(const std::string& name, const std::vector<std::string>& folders,
                   PluginHost& host) {
  const Status s = open_library(name, folders, [&host](void* library, const std::string& path) {
    return start(library, path, host);
  });
  if (s.ok()) return Status();
  return Status(ErrorCode::kUnsupported,
                cat("the plugin for ", name, ", librutile_", name, ".so of build ", build_id(),
                    ", could not be opened; tried:", s.message()));
}

Status find_devices(DeviceType type, const DeviceFns** fns) {
  static Found found[kNumDeviceTypes];
  *fns = nullptr;
  if (type == DeviceType::kCpu) return value_error("the cpu needs no plugin");
  Found& f = found[static_cast<int>(type)];
  std::call_once(f.once, search, type, &f);
  *fns = f.fns;
  if (f.failure.ok()) return Status();
  return Status(f.failure.code(), f.failure.message());
}

}  // namespace rutile
