#include "server/bench/svg_plot.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace tandem {
namespace {

constexpr double kWidth = 560, kHeight = 320;
constexpr double kLeft = 62, kRight = 12, kTop = 44, kBottom = 46;

// Okabe and Ito's colours, which the colour-blind tell apart.
constexpr const char* kColours[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                    "#E69F00", "#56B4E9", "#7F7F7F", "#B8A800"};

// Numbers on one axis and where they lie.
class Axis {
 public:
  // `from` and `to` are pixels.
  Axis(double min, double max, bool is_log, std::pair<double, double> pixels)
      : min_(min), max_(max > min ? max : min + 1), is_log_(is_log), pixels_(pixels) {}

  double At(double value) const {
    value = std::clamp(value, min_, max_);
    const double share =
        is_log_ ? std::log(value / min_) / std::log(max_ / min_) : (value - min_) / (max_ - min_);
    return pixels_.first + share * (pixels_.second - pixels_.first);
  }

  double max() const { return max_; }

  // Round numbers, some five of them: 1, 2 or 5 times a power of ten.
  std::vector<double> Ticks() const {
    std::vector<double> ticks;
    if (is_log_) {
      for (double decade = std::pow(10, std::floor(std::log10(min_))); decade <= max_;
           decade *= 10) {
        for (double digit : {1, 2, 5}) {
          const double tick = digit * decade;
          if (tick >= min_ * 0.999 && tick <= max_ * 1.001) ticks.push_back(tick);
        }
      }
      return ticks;
    }
    const double rough = (max_ - min_) / 5;
    const double decade = std::pow(10, std::floor(std::log10(rough)));
    double step = 10 * decade;
    for (double digit : {5, 2, 1}) {
      if (digit * decade >= rough) step = digit * decade;
    }
    for (double tick = std::ceil(min_ / step) * step; tick <= max_ * 1.0001; tick += step) {
      ticks.push_back(tick);
    }
    return ticks;
  }

 private:
  const double min_, max_;
  const bool is_log_;
  const std::pair<double, double> pixels_;
};

struct Range {
  double min, max;
};

Range XRange(const Plot& plot) {
  double min = 1e300, max = 0;
  for (const PlotCurve& curve : plot.curves) {
    for (const auto& [x, y] : curve.points) {
      min = std::min(min, x);
      max = std::max(max, x);
    }
  }
  if (min > max) min = max = 1;
  if (plot.is_log_x && min == max) return {min / 2, max * 2};
  return {plot.is_log_x ? min : 0, plot.x_max.value_or(max)};
}

double YMax(const Plot& plot) {
  if (plot.y_max) return *plot.y_max;
  double highest = 0;
  for (const PlotCurve& curve : plot.curves) {
    for (const auto& [x, y] : curve.points) highest = std::max(highest, y);
  }
  double max = highest;
  // A mark further up would press the curves down to the axis.
  constexpr double kFurthestMark = 3;
  for (const PlotMark& mark : plot.marks) {
    if (!mark.is_vertical && mark.at <= kFurthestMark * highest) max = std::max(max, mark.at);
  }
  return max > 0 ? max * 1.08 : 1;
}

std::string Text(double x, double y, const char* attributes, const std::string& text) {
  return absl::StrFormat("<text x=\"%.1f\" y=\"%.1f\" %s>%s</text>", x, y, attributes,
                         EscapeHtml(text));
}

std::string Line(double x1, double y1, double x2, double y2, const std::string& attributes) {
  return absl::StrFormat("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>", x1, y1, x2,
                         y2, attributes);
}

std::string AxesSvg(const Plot& plot, const Axis& x_axis, const Axis& y_axis) {
  constexpr double kRightEdge = kWidth - kRight, kBottomEdge = kHeight - kBottom;
  std::string svg;
  for (double tick : x_axis.Ticks()) {
    const double x = x_axis.At(tick);
    svg += Line(x, kTop, x, kBottomEdge, "class=\"grid\"");
    svg += Text(x, kBottomEdge + 16, "text-anchor=\"middle\"", absl::StrFormat("%g", tick));
  }
  for (double tick : y_axis.Ticks()) {
    const double y = y_axis.At(tick);
    svg += Line(kLeft, y, kRightEdge, y, "class=\"grid\"");
    svg += Text(kLeft - 6, y + 4, "text-anchor=\"end\"", absl::StrFormat("%g", tick));
  }
  svg += Line(kLeft, kBottomEdge, kRightEdge, kBottomEdge, "class=\"axis\"");
  svg += Line(kLeft, kTop, kLeft, kBottomEdge, "class=\"axis\"");
  svg += Text((kLeft + kRightEdge) / 2, kHeight - 8, "text-anchor=\"middle\"", plot.x_label);
  svg += Text(kLeft - 50, kTop - 12, "", plot.y_label);
  svg += Text((kLeft + kRightEdge) / 2, 14, "text-anchor=\"middle\" class=\"title\"", plot.title);
  return svg;
}

std::string CurveSvg(const PlotCurve& curve, const char* colour, const Axis& x_axis,
                     const Axis& y_axis) {
  std::string svg, path;
  for (size_t i = 0; i < curve.points.size(); ++i) {
    const double x = x_axis.At(curve.points[i].first);
    const double y = y_axis.At(curve.points[i].second);
    absl::StrAppend(&path, absl::StrFormat("%.1f,%.1f ", x, y));
    if (curve.has_dots) {
      absl::StrAppend(&svg, absl::StrFormat("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>",
                                            x, y, colour));
    }
    if (i < curve.intervals.size()) {
      svg += Line(x, y_axis.At(curve.intervals[i].first), x, y_axis.At(curve.intervals[i].second),
                  absl::StrCat("stroke=\"", colour, "\""));
    }
  }
  return absl::StrCat("<polyline fill=\"none\" stroke-width=\"1.8\" stroke=\"", colour,
                      "\" points=\"", path, "\"/>", svg);
}

std::string MarkSvg(const PlotMark& mark, const Axis& x_axis, const Axis& y_axis) {
  if (mark.is_vertical) {
    const double x = x_axis.At(mark.at);
    return Line(x, kTop, x, kHeight - kBottom, "class=\"mark\"") +
           Text(x + 4, kTop + 12, "class=\"note\"", mark.name);
  }
  if (mark.at > y_axis.max()) {
    return Text(kLeft + 6, kTop + 12, "class=\"note\"",
                absl::StrFormat("%s %g, above", mark.name, mark.at));
  }
  const double y = y_axis.At(mark.at);
  return Line(kLeft, y, kWidth - kRight, y, "class=\"mark\"") +
         Text(kLeft + 6, y - 4, "class=\"note\"", mark.name);
}

std::string LegendHtml(const Plot& plot) {
  if (plot.curves.size() < 2) return "";
  std::string legend = "<p class=\"legend\">";
  for (size_t i = 0; i < plot.curves.size(); ++i) {
    absl::StrAppend(&legend, "<span style=\"color:", kColours[i % std::size(kColours)],
                    "\">&#9644;</span> ", EscapeHtml(plot.curves[i].name), " &nbsp; ");
  }
  return legend + "</p>";
}

}  // namespace

std::string EscapeHtml(const std::string& text) {
  return absl::StrReplaceAll(
      text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}, {"'", "&#39;"}});
}

std::string RenderPlot(const Plot& plot) {
  const Range x_range = XRange(plot);
  const Axis x_axis(x_range.min, x_range.max, plot.is_log_x, {kLeft, kWidth - kRight});
  const Axis y_axis(0, YMax(plot), /*is_log=*/false, {kHeight - kBottom, kTop});
  std::string svg =
      absl::StrFormat("<figure><svg viewBox=\"0 0 %.0f %.0f\" role=\"img\">", kWidth, kHeight);
  svg += AxesSvg(plot, x_axis, y_axis);
  for (const PlotMark& mark : plot.marks) svg += MarkSvg(mark, x_axis, y_axis);
  for (size_t i = 0; i < plot.curves.size(); ++i) {
    svg += CurveSvg(plot.curves[i], kColours[i % std::size(kColours)], x_axis, y_axis);
  }
  return svg + "</svg>" + LegendHtml(plot) + "</figure>\n";
}

}  // namespace tandem
