// SPDX-License-Identifier: Apache-2.0
// A profile as tables and as a trace.
#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "rutile/core/strings.h"
#include "rutile/profile/profiler.h"

namespace rutile::profile {

namespace {

struct Row {
  std::string name, kernel;
  int64_t calls = 0;
  double us = 0, self_us = 0;
};

std::vector<Row> sorted(const std::map<std::string, Row>& by_key) {
  std::vector<Row> rows;
  for (const auto& [key, row] : by_key) rows.push_back(row);
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.self_us > b.self_us; });
  return rows;
}

std::string line(const char* format, ...) __attribute__((format(printf, 1, 2)));
std::string line(const char* format, ...) {
  char buffer[256];
  va_list args;
  va_start(args, format);
  std::vsnprintf(buffer, sizeof(buffer), format, args);
  va_end(args);
  return buffer;
}

std::string cut(const std::string& s, size_t width) {
  return s.size() <= width ? s : cat("...", s.substr(s.size() - width + 3));
}

bool is_work(const Event& e) { return e.kind == EventKind::kOp || e.kind == EventKind::kKernel; }

std::string ops_table(const std::vector<Event>& events, int limit) {
  std::map<std::string, Row> by_op;
  double all = 0;
  for (const Event& e : events) {
    if (!is_work(e)) continue;
    Row& r = by_op[cat(e.name, "\n", e.kernel)];
    r.name = e.name;
    r.kernel = e.kernel;
    ++r.calls;
    r.us += e.us;
    r.self_us += e.self_us;
    all += e.self_us;
  }
  std::string text = line("%-28s %-20s %8s %11s %11s %10s %6s\n", "op", "kernel", "calls",
                          "total ms", "self ms", "mean us", "share");
  const std::vector<Row> rows = sorted(by_op);
  for (size_t i = 0; i < rows.size() && static_cast<int>(i) < limit; ++i) {
    const Row& r = rows[i];
    text += line("%-28s %-20s %8lld %11.3f %11.3f %10.1f %5.1f%%\n", cut(r.name, 28).c_str(),
                 cut(r.kernel.empty() ? "eager" : r.kernel, 20).c_str(),
                 static_cast<long long>(r.calls), r.us / 1e3, r.self_us / 1e3,
                 r.us / static_cast<double>(r.calls), all > 0 ? 100 * r.self_us / all : 0);
  }
  if (static_cast<int>(rows.size()) > limit) {
    text += cat("... and ", rows.size() - static_cast<size_t>(limit), " more\n");
  }
  return text;
}

// Kernels, copies and fills as devices have them.
std::string device_table(const std::vector<Event>& events, int limit) {
  std::map<std::string, Row> by_name;
  double all = 0;
  for (const Event& e : events) {
    if (e.kind != EventKind::kDevice) continue;
    Row& r = by_name[e.name];
    r.name = e.name;
    ++r.calls;
    r.self_us += e.us;
    all += e.us;
  }
  if (by_name.empty()) return "";
  std::string text =
      line("\n%-61s %8s %11s %10s %6s\n", "of the device", "times", "total ms", "mean us", "share");
  const std::vector<Row> rows = sorted(by_name);
  for (size_t i = 0; i < rows.size() && static_cast<int>(i) < limit; ++i) {
    const Row& r = rows[i];
    text += line("%-61s %8lld %11.3f %10.1f %5.1f%%\n", r.name.substr(0, 61).c_str(),
                 static_cast<long long>(r.calls), r.self_us / 1e3,
                 r.self_us / static_cast<double>(r.calls), all > 0 ? 100 * r.self_us / all : 0);
  }
  if (static_cast<int>(rows.size()) > limit) {
    text += cat("... and ", rows.size() - static_cast<size_t>(limit), " more\n");
  }
  return text;
}

// Each Cell with everything below it. An op in no Cell counts for none.
std::string cells_table(const std::vector<Event>& events, int limit) {
  struct CellRow {
    int64_t ops = 0;
    double forward_us = 0, rest_us = 0;
  };
  std::map<std::string, CellRow> by_cell;
  for (const Event& e : events) {
    if (!is_work(e) || e.cell.empty()) continue;
    for (size_t end = 0; end != std::string::npos;) {
      end = e.cell.find('.', end + 1);
      CellRow& r = by_cell[e.cell.substr(0, end)];
      ++r.ops;
      (e.phase == "forward" ? r.forward_us : r.rest_us) += e.self_us;
    }
  }
  if (by_cell.empty()) return "";
  std::vector<std::pair<std::string, CellRow>> rows(by_cell.begin(), by_cell.end());
  const auto total = [](const CellRow& r) { return r.forward_us + r.rest_us; };
  std::stable_sort(rows.begin(), rows.end(),
                   [&](const auto& a, const auto& b) { return total(a.second) > total(b.second); });
  std::string text = line("\n%-49s %8s %11s %11s %11s\n", "Cell, with all below it", "calls",
                          "total ms", "forward ms", "other ms");
  for (size_t i = 0; i < rows.size() && static_cast<int>(i) < limit; ++i) {
    const CellRow& r = rows[i].second;
    text +=
        line("%-49s %8lld %11.3f %11.3f %11.3f\n", cut(rows[i].first, 49).c_str(),
             static_cast<long long>(r.ops), total(r) / 1e3, r.forward_us / 1e3, r.rest_us / 1e3);
  }
  if (static_cast<int>(rows.size()) > limit) {
    text += cat("... and ", rows.size() - static_cast<size_t>(limit), " more\n");
  }
  return text;
}

const char* category(EventKind kind) {
  switch (kind) {
    case EventKind::kOp:
      return "op";
    case EventKind::kKernel:
      return "kernel";
    case EventKind::kRun:
      return "compiled";
    case EventKind::kSpan:
      return "span";
    case EventKind::kDevice:
      return "device";
  }
  return "";
}

}  // namespace

std::string Profiler::table(int rows) const {
  double work = 0;
  for (const Event& e : events()) work += is_work(e) ? e.self_us : 0;
  std::string text = line("%.3f s, %zu events, %.3f ms in ops and kernels\n\n", seconds(),
                          events().size(), work / 1e3);
  text += ops_table(events(), rows) + device_table(events(), rows) + cells_table(events(), rows);
  if (!devices().empty()) text += cat("\n", devices());
  if (dropped()) text += cat("\n", dropped(), " events beyond max_events are not in here\n");
  return text;
}

std::string Profiler::to_json() const {
  using Json = nlohmann::ordered_json;
  Json list = Json::array();
  list.push_back(
      {{"name", "process_name"}, {"ph", "M"}, {"pid", 1}, {"args", {{"name", "rutile"}}}});
  std::vector<std::string> devices;  // each is a process of its own to the viewer
  for (const Event& e : events()) {
    int process = 1;
    if (e.kind == EventKind::kDevice) {
      const auto at = std::find(devices.begin(), devices.end(), e.device);
      process = 2 + static_cast<int>(at - devices.begin());
      if (at == devices.end()) {
        devices.push_back(e.device);
        list.push_back({{"name", "process_name"},
                        {"ph", "M"},
                        {"pid", process},
                        {"args", {{"name", e.device}}}});
      }
    }
    const int64_t track = e.kind == EventKind::kDevice ? e.stream : 1;
    Json j{{"name", e.name}, {"cat", category(e.kind)}, {"ph", "X"},  {"pid", process},
           {"tid", track},   {"ts", e.start_us},        {"dur", e.us}};
    Json args = Json::object();
    const auto add = [&](const char* key, const std::string& value) {
      if (!value.empty()) args[key] = value;
    };
    add(e.kind == EventKind::kDevice ? "op" : "kernel", e.kernel);
    add("cell", e.cell);
    add("at", e.place);
    add("operands", e.operands);
    add("phase", e.phase);
    if (e.bytes > 0) args["bytes"] = e.bytes;
    if (!args.empty()) j["args"] = std::move(args);
    list.push_back(std::move(j));
  }
  const Json all{
      {"displayTimeUnit", "ms"}, {"droppedEvents", dropped()}, {"traceEvents", std::move(list)}};
  return all.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace rutile::profile
