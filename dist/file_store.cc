// SPDX-License-Identifier: Apache-2.0
// A store in a folder that all ranks see: a file per key, made elsewhere and renamed, so that it is
// whole or not there. The folder is the job's own and empty at its start.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <utility>
#include <vector>

#include "rutile/core/interrupt.h"
#include "rutile/dist/secret.h"
#include "rutile/dist/store.h"

namespace rutile::dist {

namespace {

namespace fs = std::filesystem;

// A key as the name of a file.
std::string file_name(const std::string& key) {
  std::string name;
  for (const char c : key) {
    if (std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_') {
      name.push_back(c);
    } else {
      constexpr char kHex[] = "0123456789abcdef";
      name += {'%', kHex[static_cast<unsigned char>(c) >> 4], kHex[c & 15]};
    }
  }
  return name;
}

class FileStore final : public Store {
 public:
  explicit FileStore(const StoreOptions& o) : o_(o), folder_(o.folder) {}
  ~FileStore() override { leave(); }

  Status open() {
    std::error_code error;
    fs::create_directories(folder_, error);
    if (std::error_code other; !fs::is_directory(folder_, other)) {
      if (!error) error = other ? other : std::make_error_code(std::errc::not_a_directory);
      return Status(ErrorCode::kIo, cat("'", o_.folder, "' is no folder: ", error.message()));
    }
    Status s = set(cat("rank ", o_.rank), cat(host_name(), " ", getpid()));
    if (s.code() == ErrorCode::kRuntime) {
      return Status(s.code(), cat("rank ", o_.rank, " is in the folder '", o_.folder,
                                  "' already: every job needs an empty one"));
    }
    if (!s.ok()) return s;
    heard_.assign(static_cast<size_t>(o_.size), {});
    (void)beat();
    watcher_ = std::thread([this] { watch(); });
    return Status();
  }

  // Errors: kRuntime if it is set already, kIo.
  Status set(const std::string& key, const std::string& value) override {
    const fs::path to = folder_ / file_name(key);
    const fs::path made = folder_ / cat(".", o_.rank, ".", getpid(), ".", counter_++);
    {
      std::ofstream out(made, std::ios::binary);
      out << value;
      out.close();
      if (!out) return Status(ErrorCode::kIo, cat("cannot write '", made.string(), "'"));
    }
    // Unlike a renaming, a link fails where the key is there.
    int error = ::link(made.c_str(), to.c_str()) == 0 ? 0 : errno;
    if (error != 0 && error != EEXIST) error = claim_and_rename(key, made, to);
    ::unlink(made.c_str());
    if (error == 0) return Status();
    if (error == EEXIST) return Status(ErrorCode::kRuntime, cat("'", key, "' is set already"));
    return Status(ErrorCode::kIo, cat("cannot write '", to.string(), "': ", std::strerror(error)));
  }

  Status get(const std::string& key, Deadline deadline, std::string* value) override {
    for (int pause = 1;; pause = std::min(pause * 2, 50)) {
      if (read(key, value)) return Status();
      if (stop_requested()) return Status(ErrorCode::kInterrupted, "interrupted");
      if (std::string failure; key != "failed" && pause >= 50 && read("failed", &failure)) {
        return Status(ErrorCode::kRuntime, failure.substr(failure.find(' ') + 1));
      }
      if (left_ms(deadline) == 0) {
        return Status(ErrorCode::kRuntime,
                      cat("nobody set '", key, "' in the folder '", o_.folder, "' in time"));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(pause));
    }
  }

  void fail(const std::string& text) override {
    if (!stopping_) (void)set("failed", cat(o_.rank, " ", text)).ok();
  }
  void leave() override {
    if (stopping_.exchange(true)) return;
    if (!watcher_.joinable()) return;
    watcher_.join();
    (void)set(cat("left ", o_.rank), "").ok();
  }
  std::string local_address() const override { return ""; }

 private:
  // Where the file system has no links. Who makes the second file sets the key.
  int claim_and_rename(const std::string& key, const fs::path& made, const fs::path& to) const {
    const fs::path claim = folder_ / cat(".claimed.", file_name(key));
    const int fd = ::open(claim.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return errno;
    ::close(fd);
    return ::rename(made.c_str(), to.c_str()) == 0 ? 0 : errno;
  }

  bool read(const std::string& key, std::string* value) const {
    std::ifstream in(folder_ / file_name(key), std::ios::binary);
    if (!in) return false;
    std::ostringstream text;
    text << in.rdbuf();
    *value = text.str();
    return true;
  }

  struct Heard {
    std::string text;  // empty: has not come yet
    Clock::time_point at;
    bool left = false;
  };

  // Opened and closed each time: what NFS then shows to the others is new.
  bool beat() {
    char text[24];
    const int n = std::snprintf(text, sizeof text, "%016d", ++beats_);
    const fs::path path = folder_ / cat("alive", o_.rank);
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) return false;
    const bool written = ::write(fd, text, static_cast<size_t>(n)) == n;
    return ::close(fd) == 0 && written;
  }

  // As over TCP: rank 0 looks at all, the others look at rank 0. Empty: all are there.
  std::string silent_rank(bool stalled, int* rank) {
    const bool well = beat();
    const Clock::time_point now = Clock::now();
    for (int r = o_.rank == 0 ? 1 : 0; r < (o_.rank == 0 ? o_.size : 1); ++r) {
      Heard& h = heard_[static_cast<size_t>(r)];
      std::string text;
      if (h.left) continue;
      if ((read(cat("alive", r), &text) && text != h.text) || stalled || !well) {
        if (!text.empty()) h.text = text;
        h.at = now;
      }
      const double silent = std::chrono::duration<double>(now - h.at).count();
      if (h.text.empty() || silent <= o_.heartbeat) continue;
      if (read(cat("left ", r), &text)) {
        h.left = true;
        if (o_.on_left && !stopping_) o_.on_left(r);
        continue;
      }
      (void)read(cat("rank ", r), &text);  // "host process"
      const size_t space = text.find(' ');
      *rank = r;
      return cat("rank ", r, " (process ", text.substr(space + 1), " on ", text.substr(0, space),
                 ") is gone: nothing was heard of it for ", static_cast<int>(silent), " s");
    }
    return "";
  }

  void watch() {
    Clock::time_point last_round = Clock::now();
    bool stalled = false;  // this process was itself stopped
    for (int round = 0; !stopping_; ++round) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      stalled = stalled || Clock::now() - last_round > std::chrono::seconds(3);
      last_round = Clock::now();
      if (round % 40 == 0) {
        int gone = 0;
        const std::string silent = silent_rank(std::exchange(stalled, false), &gone);
        if (!silent.empty() && !stopping_) {
          fail(silent);
          if (o_.on_failure) o_.on_failure(gone, silent);
          return;
        }
      }
      std::string text;
      if (round % 10 != 0 || !read("failed", &text)) continue;
      const size_t space = text.find(' ');
      const int rank = std::atoi(text.c_str());
      if (rank != o_.rank && o_.on_failure && !stopping_) {
        o_.on_failure(rank, text.substr(space == std::string::npos ? 0 : space + 1));
      }
      return;
    }
  }

  const StoreOptions o_;
  const fs::path folder_;
  std::atomic<int> counter_{0};
  int beats_ = 0;
  std::vector<Heard> heard_;
  std::atomic<bool> stopping_{false};
  std::thread watcher_;
};

}  // namespace

Status open_file_store(const StoreOptions& options, std::unique_ptr<Store>* store) {
  auto s = std::make_unique<FileStore>(options);
  RUTILE_RETURN_IF_ERROR(s->open());
  *store = std::move(s);
  return Status();
}

}  // namespace rutile::dist
