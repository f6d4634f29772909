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

Library find(const char* file) {
  Library l;
  // A library that the process has already, PyTorch's for example, is the one to share.
  l.handle = dlopen(file, RTLD_NOW | RTLD_NOLOAD);
  if (l.handle) return l;
  std::string tried;
  for (const fs::path& folder : folders()) {
    const std::string path = (folder / file).string();
    std::error_code error;
    if (!fs::exists(path, error)) continue;
    l.handle = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (l.handle) return l;
    const char* why = dlerror();
    tried += cat("; ", why ? why : path.c_str());
  }
  l.handle = dlopen(file, RTLD_NOW | RTLD_GLOBAL);
  if (l.handle) return l;
  const char* why = dlerror();
  l.failure = cat(
      "needs ", file, ", which is neither in an nvidia-* package beside ", own_folder().string(),
      ", nor in RUTILE_CUDA_LIBRARIES, nor found by the loader: ", why ? why : "no reason given",
      tried);
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
