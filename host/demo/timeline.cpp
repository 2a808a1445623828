#include "host/demo/timeline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace lanner::host {

std::string sparkline(const std::vector<Point>& points, std::size_t width, bool colour) {
  static constexpr const char* blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const std::size_t begin = points.size() > width ? points.size() - width : 0;
  double least = 1e300, most = -1e300;
  for (const Point& point : points) {
    least = std::min(least, std::log1p(std::max(point.score, 0.0)));
    most = std::max(most, std::log1p(std::max(point.score, 0.0)));
  }
  std::string line;
  for (std::size_t i = begin; i < points.size(); ++i) {
    const double height =
        most > least ? (std::log1p(std::max(points[i].score, 0.0)) - least) / (most - least) : 0;
    const char* block = blocks[std::clamp(static_cast<int>(height * 8), 0, 7)];
    line += points[i].flagged && colour ? fmt::format("\033[31m{}\033[0m", block) : block;
  }
  return line;
}

namespace {

constexpr double width = 860, height = 360, left = 64, right = 24, top = 52, plot_height = 190, deepest = 8;

std::string escaped(const std::string& text) {
  std::string safe;
  for (char c : text) {
    if (c == '<')
      safe += "&lt;";
    else if (c == '&')
      safe += "&amp;";
    else
      safe += c;
  }
  return safe;
}

// A p-value's place: 1 at the bottom, 10^-deepest and beyond at the top.
double y_of(double p) {
  return top + plot_height * (1 - std::min(-std::log10(std::max(p, 1e-300)), deepest) / deepest);
}

}  // namespace

std::string draw_svg(const Timeline& timeline, const std::string& title) {
  const double last = timeline.points.empty() ? 1 : std::max(timeline.points.back().second, 1.0);
  const auto x_of = [&](double second) { return left + (width - left - right) * second / last; };
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" font-family=\"system-ui, "
      "sans-serif\" font-size=\"12\">\n"
      "<style>.ink{{fill:#1f2933}}.faint{{fill:#7b8794}}.paper{{fill:#fff}}.rule{{stroke:#e4e7eb}}.quiet{{"
      "fill:#3e7cb1}}.loud{{fill:#c81e3a}}"
      ".band{{fill:#f7b32b;opacity:.22}}.budget{{stroke:#c81e3a;stroke-dasharray:5 4}}"
      "@media (prefers-color-scheme: "
      "dark){{.ink{{fill:#e4e7eb}}.faint{{fill:#9aa5b1}}.paper{{fill:#14181d}}.rule{{stroke:#2a323c}}.quiet{{"
      "fill:#6db3f2}}.loud{{fill:#ff5d73}}}}</style>\n"
      "<rect class=\"paper\" width=\"{0}\" height=\"{1}\"/>\n<text class=\"ink\" x=\"{2}\" y=\"24\" "
      "font-size=\"15\" font-weight=\"600\">{3}</text>\n"
      "<text class=\"faint\" x=\"{2}\" y=\"42\">p-value of each sample (an event every 100 ms); the higher, "
      "the less like what was learned</text>\n",
      width, height, left, escaped(title));
  for (int power = 0; power <= static_cast<int>(deepest); power += 2) {
    const double y = y_of(std::pow(10.0, -power));
    svg += fmt::format(
        "<line class=\"rule\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/><text class=\"faint\" "
        "x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n",
        left, width - right, y, y, left - 8, y + 4, power == 0 ? "1" : fmt::format("1e-{}", power));
  }
  if (timeline.disturbed_from >= 0) {
    const double from = x_of(timeline.disturbed_from),
                 to = x_of(timeline.disturbed_to < 0 ? last : timeline.disturbed_to);
    svg += fmt::format(
        "<rect class=\"band\" x=\"{:.1f}\" y=\"{}\" width=\"{:.1f}\" height=\"{}\"/><text class=\"ink\" "
        "x=\"{:.1f}\" y=\"{}\">disturbance</text>\n",
        from, top, to - from, plot_height, from + 4, top + plot_height + 16);
  }
  if (timeline.threshold > 0)
    svg += fmt::format(
        "<line class=\"budget\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/><text class=\"faint\" "
        "x=\"{}\" y=\"{:.1f}\">budget: p ≤ {}</text>\n",
        left, width - right, y_of(timeline.threshold), y_of(timeline.threshold), left + 6,
        y_of(timeline.threshold) - 8, timeline.threshold);
  for (const Point& point : timeline.points)
    svg += fmt::format("<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\"/>\n",
                       point.flagged ? "loud" : "quiet", x_of(point.second), y_of(point.p_value),
                       point.flagged ? 3 : 1.8);
  for (double second = 0; second <= last; second += last > 90 ? 20 : 10)
    svg += fmt::format("<text class=\"faint\" x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{:.0f} s</text>\n",
                       x_of(second), top + plot_height + 32, second);
  double y = top + plot_height + 56;
  if (!timeline.why.empty())
    svg += fmt::format(
        "<text class=\"ink\" x=\"{}\" y=\"{}\" font-weight=\"600\">why: shares of the strongest alert's "
        "score</text>\n",
        left, y);
  for (std::size_t i = 0; i < std::min<std::size_t>(timeline.why.size(), 3); ++i) {
    const Contribution& part = timeline.why[i];
    y += 16;
    svg += fmt::format(
        "<rect class=\"loud\" x=\"{}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"10\"/><text class=\"ink\" "
        "x=\"{:.1f}\" y=\"{:.1f}\">{} {:.0f} %</text>\n",
        left, y - 9, 300 * part.share, left + 300 * part.share + 6, y, escaped(part.feature),
        100 * part.share);
  }
  return svg + "</svg>\n";
}

}  // namespace lanner::host
