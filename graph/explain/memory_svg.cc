// SPDX-License-Identifier: Apache-2.0
// The arena as a picture: steps from left to right, offsets from bottom to top.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "rutile/graph/explain.h"

namespace rutile::graph {

namespace {

constexpr double kWidth = 1200, kHeight = 640;
constexpr double kLeft = 80, kTop = 50, kPlotWidth = 1100, kPlotHeight = 540;

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        if (static_cast<unsigned char>(c) >= 0x20) out += c;
    }
  }
  return out;
}

std::string number(double v, int digits = 1) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, v);
  return text;
}
std::string mib(int64_t bytes) { return number(static_cast<double>(bytes) / (1 << 20), 2); }

const char* colour(const BufferUse& b) {
  if (!b.value) return "#b8b8b8";
  switch (b.phase) {
    case Phase::kForward:
      return "#7fb2e5";
    case Phase::kBackward:
      return "#f0a868";
    default:
      return "#85c985";
  }
}

std::string text_at(double x, double y, const char* anchor, const std::string& text) {
  return cat("<text x=\"", number(x), "\" y=\"", number(y), "\" text-anchor=\"", anchor, "\">",
             escaped(text), "</text>\n");
}

// 1, 2 or 5 times a power of ten: about `lines` of them make `whole`.
double step_for(double whole, int lines) {
  const double raw = std::max(whole / lines, 1e-9);
  const double base = std::pow(10, std::floor(std::log10(raw)));
  for (const double f : {1.0, 2.0, 5.0}) {
    if (f * base >= raw) return f * base;
  }
  return 10 * base;
}

void legend(std::string* svg) {
  const std::pair<const char*, const char*> entries[] = {{"#7fb2e5", "forward"},
                                                         {"#f0a868", "backward"},
                                                         {"#85c985", "optimizer"},
                                                         {"#b8b8b8", "workspace, copy"}};
  double x = kLeft + kPlotWidth - 400;
  for (const auto& [fill, name] : entries) {
    *svg += cat("<rect x=\"", number(x), "\" y=\"28\" width=\"12\" height=\"12\" fill=\"", fill,
                "\"/>\n", text_at(x + 16, 38, "start", name));
    x += 95;
  }
}

}  // namespace

std::string Explanation::memory_svg() const {
  const MemoryPlan& m = report.memory;
  const double steps = std::max<double>(static_cast<double>(kernels.size()), 1);
  const double peak = std::max<double>(static_cast<double>(m.peak), 1);
  const auto x_of = [&](double step) { return kLeft + kPlotWidth * step / steps; };
  const auto y_of = [&](double bytes) { return kTop + kPlotHeight * (1 - bytes / peak); };
  std::string svg =
      cat("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"", number(kWidth, 0), "\" height=\"",
          number(kHeight, 0), "\" viewBox=\"0 0 ", number(kWidth, 0), " ", number(kHeight, 0),
          "\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"11\">\n"
          "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n");
  svg += text_at(kLeft, 22, "start",
                 cat(name, ": arena ", mib(m.peak), " MiB, lower bound ", mib(m.lower_bound),
                     " MiB, ratio ", number(m.ratio(), 3), ", ", buffers.size(), " buffers"));
  legend(&svg);
  const double mega = peak / (1 << 20), by = step_for(mega, 8);
  for (double at = 0; at <= mega * 1.0001; at += by) {
    const double y = y_of(at * (1 << 20));
    svg += cat("<line x1=\"", number(kLeft), "\" x2=\"", number(kLeft + kPlotWidth), "\" y1=\"",
               number(y), "\" y2=\"", number(y), "\" stroke=\"#dddddd\"/>\n",
               text_at(kLeft - 6, y + 4, "end", cat(at, " MiB")));
  }
  const double every = std::max(1.0, step_for(steps, 10));
  for (double at = 0; at <= steps; at += every) {
    svg += text_at(x_of(at), kTop + kPlotHeight + 16, "middle", number(at, 0));
  }
  svg += text_at(kLeft + kPlotWidth / 2, kTop + kPlotHeight + 36, "middle", "step of the program");
  for (const BufferUse& b : buffers) {
    const double x = x_of(b.place.first),
                 top = y_of(static_cast<double>(b.place.offset + b.place.bytes));
    const double width = std::max(x_of(b.place.last + 1) - x, 0.3);
    const double height = std::max(y_of(static_cast<double>(b.place.offset)) - top, 0.2);
    svg +=
        cat("<rect x=\"", number(x, 2), "\" y=\"", number(top, 2), "\" width=\"", number(width, 2),
            "\" height=\"", number(height, 2), "\" fill=\"", colour(b),
            "\" stroke=\"#ffffff\" stroke-width=\"0.3\"><title>", escaped(b.what), "\n",
            mib(b.place.bytes), " MiB at ", mib(b.place.offset), ", steps ", b.place.first, " to ",
            b.place.last, b.where.empty() ? "" : "\n", escaped(b.where), "</title></rect>\n");
  }
  return svg + "</svg>\n";
}

}  // namespace rutile::graph
