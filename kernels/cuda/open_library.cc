// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/libraries.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>
#include <vector>

#include "rutile/core/strings.h"

namespace rutile::cuda {
namespace {

namespace fs = std::filesystem;

// The folder of this plugin.
fs::path own_folder() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<void*>(&open_library), &info) == 0 || !info.dli_fname) return {};
  std::error_code error;
  return fs::weakly_canonical(info.dli_fname, error).parent_path();
}

// Folders where the wheels keep libraries: nvidia/<part>/lib in each folder of packages above us.
std::vector<fs::path> folders() {
  std::vector<fs::path> found;
  if (const char* named = std::getenv("RUTILE_CUDA_LIBRARIES")) {
    const std::string all = named;
    for (size_t begin = 0; begin <= all.size();) {
      const size_t end = std::min(all.find(':', begin), all.size());
      if (end > begin) found.emplace_back(all.substr(begin, end - begin));
      begin = end + 1;
    }
  }
  std::error_code error;
  for (fs::path at = own_folder(); !at.empty() && at != at.root_path(); at = at.parent_path()) {
    const fs::path wheels = at / "nvidia";
    if (!fs::is_directory(wheels, error)) continue;
    // The loop of a range would throw where a folder cannot be read to its end.
    for (fs::directory_iterator part(wheels, error), end; part != end; part.increment(error)) {
      std::error_code none;
      const fs::path lib = part->path() / "lib";
      if (fs::is_directory(lib, none)) found.push_back(lib);
    }
  }
  return found;
}

// Folders of toolkits that the loader was not told of.
std::vector<fs::path> toolkits() {
  std::vector<fs::path> found;
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH"}) {
    const char* home = std::getenv(variable);
    if (home && *home) found.emplace_back(fs::path(home) / "lib64");
  }
  found.emplace_back("/usr/local/cuda/lib64");
  return found;
}

// What a library needs, or opens by itself, by name alone: wheels keep some of it in other folders,
// and a toolkit's libraries do not look in their own. It serves once the process has it.
constexpr struct {
  const char *file, *needs[2];
} kNeeds[] = {
    {"libcublas.so.13", {"libcublasLt.so.13"}},
    {"libcusparse.so.12", {"libnvJitLink.so.13"}},
    {"libcusolver.so.12", {"libcublas.so.13", "libcusparse.so.12"}},
    {"libcudnn.so.9", {"libcublasLt.so.13", "libnvrtc.so.13"}},
};

struct Search {
  std::string tried;

  void* open(const fs::path& path) {
    std::error_code error;
    if (!fs::exists(path, error)) return nullptr;
    void* const handle = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
    const char* why = handle ? nullptr : dlerror();
    if (why) tried += cat("; ", why);
    return handle;
  }
  void* open_in(const std::vector<fs::path>& folders, const std::string& file) {
    for (const fs::path& folder : folders) {
      void* const handle = open(folder / file);
      if (!handle) continue;
      if (file.starts_with("libnvrtc.so.")) open_builtins(folder);
      return handle;
    }
    return nullptr;
  }
  // Their name tells the minor version, too.
  void open_builtins(const fs::path& folder) {
    std::error_code error;
    for (fs::directory_iterator at(folder, error), end; at != end; at.increment(error)) {
      const std::string name = at->path().filename().string();
      if (name.starts_with("libnvrtc-builtins.so.")) (void)open(at->path());
    }
  }
};

Library find(const char* file) {
  Library l;
  // A library that the process has already, PyTorch's for example, is the one to share.
  l.handle = dlopen(file, RTLD_NOW | RTLD_NOLOAD);
  if (l.handle) return l;
  for (const auto& [name, needs] : kNeeds) {
    if (std::string_view(name) != file) continue;
    for (const char* other : needs) {
      if (other) (void)find(other);
    }
  }
  Search search;
  l.handle = search.open_in(folders(), file);
  if (l.handle) return l;
  l.handle = dlopen(file, RTLD_NOW | RTLD_GLOBAL);
  if (l.handle) return l;
  const char* why = dlerror();
  const std::string loader = why ? why : "no reason given";
  l.handle = search.open_in(toolkits(), file);
  if (l.handle) return l;
  l.failure = cat("needs ", file, ", which is neither in an nvidia-* package beside ",
                  own_folder().string(),
                  ", nor in RUTILE_CUDA_LIBRARIES, nor found by the loader: ", loader,
                  ", nor in the toolkit of CUDA_HOME", search.tried);
  return l;
}

}  // namespace

const Library& open_library(const char* file) {
  static std::mutex mutex;
  static std::map<std::string, Library>* const all = new std::map<std::string, Library>();
  const std::lock_guard lock(mutex);
  const auto at = all->find(file);
  return at != all->end() ? at->second : all->emplace(file, find(file)).first->second;
}

void* library_symbol(const Library& library, const char* name) {
  return library.handle ? dlsym(library.handle, name) : nullptr;
}

}  // namespace rutile::cuda
