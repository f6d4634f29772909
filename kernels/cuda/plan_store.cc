// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/plan_store.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "rutile/core/strings.h"

namespace rutile::cuda {
namespace {

namespace fs = std::filesystem;

constexpr char kMagic[8] = {'r', 't', 'p', 'l', 'a', 'n', '1', '\n'};
constexpr size_t kMostBytes = size_t{64} << 20;

// FNV-1a.
uint64_t hash_of(std::string_view bytes, uint64_t h = 0xcbf29ce484222325u) {
  for (const char c : bytes) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return h;
}
std::string_view text_of(std::span<const uint8_t> data) {
  return {reinterpret_cast<const char*>(data.data()), data.size()};
}

struct Header {
  char magic[8];
  uint64_t key_bytes, data_bytes, hash;  // hash: of key and data
};

}  // namespace

std::string plan_folder(const char* name) {
  if (const char* named = std::getenv("RUTILE_CACHE_DIR")) {
    return *named ? cat(named, "/", name) : std::string();
  }
  if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg && *xdg == '/') {
    return cat(xdg, "/rutile/", name);
  }
  const char* const home = std::getenv("HOME");
  return home && *home == '/' ? cat(home, "/.cache/rutile/", name) : std::string();
}

std::string PlanStore::path_of(std::string_view key) const {
  char name[40];
  std::snprintf(name, sizeof(name), "%016llx%016llx.plan",
                static_cast<unsigned long long>(hash_of(key)),
                static_cast<unsigned long long>(hash_of(key, 0x9e3779b97f4a7c15u)));
  return cat(folder_, "/", name);
}

bool PlanStore::find(std::string_view key, std::vector<uint8_t>* data) const {
  data->clear();
  if (folder_.empty()) return false;
  std::ifstream file(path_of(key), std::ios::binary);
  Header h{};
  if (!file.read(reinterpret_cast<char*>(&h), sizeof(h))) return false;
  if (std::memcmp(h.magic, kMagic, sizeof(kMagic)) != 0 || h.key_bytes != key.size() ||
      h.data_bytes > kMostBytes) {
    return false;
  }
  std::string own(key.size(), '\0');
  std::vector<uint8_t> bytes(h.data_bytes);
  if (!file.read(own.data(), static_cast<std::streamsize>(own.size())) || own != key) return false;
  if (!file.read(reinterpret_cast<char*>(bytes.data()),
                 static_cast<std::streamsize>(bytes.size()))) {
    return false;
  }
  if (file.peek() != std::ifstream::traits_type::eof()) return false;
  if (hash_of(text_of(bytes), hash_of(own)) != h.hash) return false;
  *data = std::move(bytes);
  return true;
}

void PlanStore::put(std::string_view key, std::span<const uint8_t> data) const {
  if (folder_.empty() || data.size() > kMostBytes) return;
  std::error_code error;
  fs::create_directories(folder_, error);
  static std::atomic<int> number{0};
  const std::string path = path_of(key);
  const std::string own = cat(path, ".", static_cast<int64_t>(::getpid()), ".", number++);
  Header h{{}, key.size(), data.size(), hash_of(text_of(data), hash_of(key))};
  std::memcpy(h.magic, kMagic, sizeof(kMagic));
  {
    std::ofstream file(own, std::ios::binary | std::ios::trunc);
    file.write(reinterpret_cast<const char*>(&h), sizeof(h));
    file.write(key.data(), static_cast<std::streamsize>(key.size()));
    file.write(reinterpret_cast<const char*>(data.data()),
               static_cast<std::streamsize>(data.size()));
    if (!file.flush()) {
      file.close();
      fs::remove(own, error);
      return;
    }
  }
  fs::rename(own, path, error);
  if (error) fs::remove(own, error);
  drop_oldest();
}

void PlanStore::drop_oldest() const {
  std::error_code error;
  std::vector<std::pair<fs::file_time_type, fs::path>> files;
  for (const auto& entry : fs::directory_iterator(folder_, error)) {
    if (entry.path().extension() != ".plan") continue;
    const auto time = entry.last_write_time(error);
    if (!error) files.emplace_back(time, entry.path());
  }
  if (static_cast<int>(files.size()) <= most_) return;
  std::sort(files.begin(), files.end());
  // A quarter goes at once, so that this is seldom done.
  const size_t gone = files.size() - static_cast<size_t>(most_ - most_ / 4);
  for (size_t i = 0; i < gone; ++i) fs::remove(files[i].second, error);
}

}  // namespace rutile::cuda
