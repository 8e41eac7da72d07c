// Plots by gnuplot: what is drawn, the script and data that draw it, and the files.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/stats.h"
#include "results/table.h"

namespace dlm {

struct PlotPoint {
  double x = 0, y = 0;
  std::optional<Interval> x_interval, y_interval;  // 95 %
  std::string label;                               // beside the point; may be empty
};

enum class SeriesStyle {
  kPoints,
  kLine,   // points joined by a line
  kSteps,  // no points: the front, constant up to each point
};

struct PlotSeries {
  std::string name;
  std::vector<PlotPoint> points;
  SeriesStyle style = SeriesStyle::kLine;
};

enum class Scale { kLinear, kLog2, kLog10 };

struct Plot {
  std::string title, x_label, y_label;
  Scale x_scale = Scale::kLinear, y_scale = Scale::kLinear;
  std::vector<std::string> x_names;  // of x = 0, 1, ...; empty: x is a number
  std::vector<PlotSeries> series;    // told apart by colour, marker and dash pattern
  std::vector<std::string> notes;    // below the plot
};

// The data as a table, one line a point.
Table plot_table(const Plot& plot);

// The gnuplot script that reads `data_file` and writes `output_file` ("svg", "png" or "pdf" by its
// ending), and the data it reads. Names may hold anything: nothing in them is run or interpreted.
std::string plot_script(const Plot& plot, const std::string& data_file,
                        const std::string& output_file);
std::string plot_data(const Plot& plot);

// Writes PATH, and beside it its script (.gp) and data (.dat) that draw it again. PATH ends in
// .svg, .png or .pdf (ConfigError). Throws DataError where gnuplot is not there or fails; script
// and data are written all the same.
void write_plot(const Plot& plot, const std::string& path);

// The plot as SVG text, through a temporary folder. Throws DataError like write_plot.
std::string plot_svg(const Plot& plot);

}  // namespace dlm
