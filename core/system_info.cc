// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/system_info.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <string_view>
#include <vector>

namespace rutile {
namespace {

// Empty if the file cannot be read. Files under /proc have no size to ask for.
std::string read_text(const std::string& path) {
  std::string out;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return out;
  char buf[4096];
  ssize_t n;
  while ((n = ::read(fd, buf, sizeof(buf))) > 0) out.append(buf, static_cast<size_t>(n));
  ::close(fd);
  return out;
}

std::vector<std::string_view> split(std::string_view s, char sep) {
  std::vector<std::string_view> out;
  while (true) {
    const size_t i = s.find(sep);
    if (i != 0) out.push_back(s.substr(0, i));
    if (i == std::string_view::npos) return out;
    s.remove_prefix(i + 1);
  }
}

bool has_item(std::string_view comma_separated, std::string_view item) {
  const auto items = split(comma_separated, ',');
  return std::find(items.begin(), items.end(), item) != items.end();
}

// A number, or -1 for "max", an empty file and anything else.
int64_t parse_number(std::string_view s) {
  if (s.empty() || s.front() < '0' || s.front() > '9') return -1;
  const long long v = std::strtoll(std::string(s).c_str(), nullptr, 10);
  return v == 0x7fffffffffffffffLL ? -1 : v;
}

int64_t read_number(const std::string& path) { return parse_number(read_text(path)); }

// Value of the line "<key> <number>" or "<key>: <number> kB"; -1 if there is none.
int64_t keyed_number(std::string_view text, std::string_view key) {
  for (const std::string_view line : split(text, '\n')) {
    if (!line.starts_with(key)) continue;
    const auto words = split(line.substr(key.size()), ' ');
    const size_t first = !words.empty() && words[0] == ":" ? 1 : 0;
    const bool whole = line.size() > key.size() && (line[key.size()] == ' ' || first == 1);
    if (whole && words.size() > first) return parse_number(words[first]);
  }
  return -1;
}

// Path of this process in the hierarchy of `controller`, or in version 2 ("").
bool process_group(const std::string& root, std::string_view controller, std::string* path) {
  const std::string text = read_text(root + "/proc/self/cgroup");
  for (const std::string_view line : split(text, '\n')) {
    const size_t a = line.find(':');
    const size_t b = a == std::string_view::npos ? a : line.find(':', a + 1);
    if (b == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(a + 1, b - a - 1);
    if (controller.empty() ? controllers.empty() : has_item(controllers, controller)) {
      *path = line.substr(b + 1);
      return true;
    }
  }
  return false;
}

struct Mount {
  std::string point;
  std::string root;  // which part of the hierarchy is mounted there
};

bool find_mount(const std::string& root, std::string_view controller, Mount* out) {
  const std::string text = read_text(root + "/proc/self/mountinfo");
  for (const std::string_view line : split(text, '\n')) {
    const size_t dash = line.find(" - ");
    if (dash == std::string_view::npos) continue;
    const auto left = split(line.substr(0, dash), ' ');
    const auto right = split(line.substr(dash + 3), ' ');
    if (left.size() < 5 || right.size() < 3) continue;
    const bool fits = controller.empty() ? right[0] == "cgroup2"
                                         : right[0] == "cgroup" && has_item(right[2], controller);
    if (!fits) continue;
    out->root = left[3];
    out->point = left[4];
    return true;
  }
  return false;
}

// Directories of this process's group and its ancestors, as far as they are mounted.
std::vector<std::string> group_dirs(const std::string& root, std::string_view controller) {
  std::string path;
  Mount mount;
  if (!process_group(root, controller, &path) || !find_mount(root, controller, &mount)) return {};
  if (mount.root != "/" && path.starts_with(mount.root)) path.erase(0, mount.root.size());
  const std::string top = root + mount.point;
  std::vector<std::string> dirs;
  while (!path.empty() && path != "/") {
    dirs.push_back(top + path);
    path.erase(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
  dirs.push_back(top);
  return dirs;
}

int64_t reclaimable(const std::string& stat, bool v2) {
  const std::string prefix = v2 ? "" : "total_";
  return std::max<int64_t>(keyed_number(stat, prefix + "inactive_file"), 0) +
         std::max<int64_t>(keyed_number(stat, prefix + "active_file"), 0);
}

void apply_memory_limit(const std::string& dir, bool v2, SystemMemory* m) {
  const int64_t limit = read_number(dir + (v2 ? "/memory.max" : "/memory.limit_in_bytes"));
  if (limit < 0 || limit >= m->total) return;
  const int64_t used = read_number(dir + (v2 ? "/memory.current" : "/memory.usage_in_bytes"));
  const int64_t cache = reclaimable(read_text(dir + "/memory.stat"), v2);
  m->available = std::min(m->available, limit - std::max<int64_t>(used - cache, 0));
  m->cgroup_limit = m->cgroup_limit == 0 ? limit : std::min(m->cgroup_limit, limit);
}

}  // namespace

int affinity_cores() {
  for (int cpus = 1024; cpus <= 1 << 20; cpus *= 2) {
    cpu_set_t* set = CPU_ALLOC(static_cast<size_t>(cpus));
    const size_t size = CPU_ALLOC_SIZE(static_cast<size_t>(cpus));
    if (set == nullptr) return 1;
    if (::sched_getaffinity(0, size, set) != 0) {
      CPU_FREE(set);
      continue;  // the kernel's mask is wider
    }
    std::set<std::string> cores;
    for (int i = 0; i < cpus; ++i) {
      if (!CPU_ISSET_S(static_cast<size_t>(i), size, set)) continue;
      const std::string cpu = std::to_string(i);
      std::string siblings =
          read_text("/sys/devices/system/cpu/cpu" + cpu + "/topology/thread_siblings_list");
      cores.insert(siblings.empty() ? "cpu" + cpu : siblings);
    }
    CPU_FREE(set);
    return std::max<int>(static_cast<int>(cores.size()), 1);
  }
  return 1;
}

double cgroup_cpu_quota(const std::string& root) {
  double quota = 0;
  const auto take = [&quota](int64_t time, int64_t period) {
    if (time <= 0 || period <= 0) return;
    const double q = static_cast<double>(time) / static_cast<double>(period);
    quota = quota == 0 ? q : std::min(quota, q);
  };
  for (const std::string& dir : group_dirs(root, "cpu")) {
    take(read_number(dir + "/cpu.cfs_quota_us"), read_number(dir + "/cpu.cfs_period_us"));
  }
  for (const std::string& dir : group_dirs(root, "")) {
    const std::string text = read_text(dir + "/cpu.max");
    const auto words = split(text, ' ');
    if (words.size() == 2) take(parse_number(words[0]), parse_number(words[1]));
  }
  return quota;
}

SystemMemory system_memory(const std::string& root) {
  const std::string info = read_text(root + "/proc/meminfo");
  SystemMemory m;
  m.total = std::max<int64_t>(keyed_number(info, "MemTotal"), 0) * 1024;
  m.available = std::max<int64_t>(keyed_number(info, "MemAvailable"), 0) * 1024;
  for (const std::string& dir : group_dirs(root, "memory")) apply_memory_limit(dir, false, &m);
  for (const std::string& dir : group_dirs(root, "")) apply_memory_limit(dir, true, &m);
  m.available = std::max<int64_t>(m.available, 0);
  return m;
}

}  // namespace rutile
