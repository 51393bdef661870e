// Plots as SVG text for an HTML page.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tandem {

struct PlotCurve {
  std::string name;
  std::vector<std::pair<double, double>> points;     // (x, y) in order of x
  std::vector<std::pair<double, double>> intervals;  // (low, high) of each point's y; or empty
  bool has_dots = false;
};

// A straight line across the plot, such as a target; one that is far above all curves is told in
// words.
struct PlotMark {
  bool is_vertical = false;
  double at = 0;
  std::string name;
};

struct Plot {
  std::string title, x_label, y_label;
  std::vector<PlotCurve> curves;
  std::vector<PlotMark> marks;
  bool is_log_x = false;               // then every x is positive
  std::optional<double> y_max, x_max;  // what is beyond is cut off; from the data where not given
};

// An <svg> element with axes, curves and a legend; axes begin at 0 unless logarithmic. Every text
// is escaped.
std::string RenderPlot(const Plot& plot);

// `text` with &, <, > and quotes as entities.
std::string EscapeHtml(const std::string& text);

}  // namespace tandem
