// SPDX-License-Identifier: Apache-2.0
// Compiled kernels on disk, so that the next process need not compile them. A file holds the whole
// key (source and all it was compiled with), the compiler's log and the code. Files are written
// aside and renamed; one that is damaged, that belongs to somebody else or that others may write is
// as good as none. Nothing here fails: without a folder everything is compiled.
//
//   KernelCache cache(default_cache_folder());
//   if (!cache.find(key, &entry)) cache.put(key, entry);
#pragma once

#include <string>

#include "rutile/kernels/cuda/rtc.h"

namespace rutile::cuda {

// $RUTILE_CACHE_DIR/kernels (none where that is empty), $XDG_CACHE_HOME/rutile/kernels or
// ~/.cache/rutile/kernels; empty: none.
std::string default_cache_folder();

class KernelCache {
 public:
  // Makes the folder. A folder of somebody else, or that others may write, is not used.
  explicit KernelCache(std::string folder);
  bool find(const std::string& key, Compiled* out) const;
  void put(const std::string& key, const Compiled& entry) const;
  // Where the key's file is; empty without a folder.
  std::string path(const std::string& key) const;
  // Why there is no folder; empty: there is one.
  const std::string& failure() const { return failure_; }

 private:
  std::string folder_, failure_;
};

}  // namespace rutile::cuda
