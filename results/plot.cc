#include "results/plot.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <set>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/text.h"

namespace dlm {
namespace {

// Okabe and Ito's colours, told apart with every common kind of colour blindness; the order puts
// far luminances next to each other for print without colour.
constexpr std::array kColours = {"#0072B2", "#D55E00", "#009E73", "#000000",
                                 "#CC79A7", "#E69F00", "#56B4E9"};
// Full and empty circle, square, triangle, diamond; triangle upside down and pentagon.
constexpr std::array kMarkers = {7, 5, 9, 13, 6, 4, 8, 12, 11, 15, 10, 14};
constexpr std::array kDashes = {1, 2, 4, 5, 3};

// Within single quotes gnuplot runs and expands nothing; a quote is doubled.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : replace_invalid_utf8(text)) {
    if (c == '\'')
      out += '\'';
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
  }
  return out + "'";
}

std::string ending_of(const std::string& path) {
  const std::string ending = std::filesystem::path(path).extension().string();
  for (const char* known : {".svg", ".png", ".pdf"}) {
    if (ending == known)
      return ending.substr(1);
  }
  throw ConfigError("to", path, "must end in .svg, .png or .pdf");
}

std::string terminal_of(const std::string& ending) {
  if (ending == "svg")
    return "svg size 800,560 dynamic noenhanced font 'sans-serif,15' background '#ffffff'";
  if (ending == "png")
    return "pngcairo size 1200,840 noenhanced font 'sans,19' background '#ffffff'";
  return "pdfcairo size 7in,4.9in noenhanced font 'sans,13'";
}

double font_size_of(const std::string& ending) {
  if (ending == "svg")
    return 15;
  return ending == "png" ? 19 : 13;
}

std::string axis_lines(const char* axis, Scale scale, const std::string& label) {
  std::string out = fmt::format("set {}label {}\n", axis, quoted(label));
  if (scale != Scale::kLinear)
    out += fmt::format("set logscale {} {}\n", axis, scale == Scale::kLog2 ? 2 : 10);
  return out;
}

// A range with room for the intervals and labels.
struct Range {
  double low = HUGE_VAL, high = -HUGE_VAL;

  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }

  std::string lines(const char* axis, Scale scale) const {
    if (!(low <= high))
      return "";
    double from = low, to = high;
    if (scale == Scale::kLinear || low <= 0) {
      const double room = high > low ? 0.08 * (high - low) : 0.08 * std::max(1e-9, std::abs(high));
      from -= room;
      to += room;
    } else {
      const double room = std::max(1.02, std::pow(high / low, 0.08));
      from /= room;
      to *= room;
    }
    return fmt::format("set {}range [{}:{}]\n", axis, from, to);
  }
};

void add_to_range(Range& range, double value, const std::optional<Interval>& interval,
                  Scale scale) {
  range.add(value);
  for (const double end : {interval.value_or(Interval{value, value}).low,
                           interval.value_or(Interval{value, value}).high}) {
    if (std::isfinite(end) && (scale == Scale::kLinear || end > 0))
      range.add(end);
  }
}

Range x_range(const Plot& plot) {
  Range x;
  for (const PlotSeries& series : plot.series) {
    for (const PlotPoint& point : series.points)
      add_to_range(x, point.x, point.x_interval, plot.x_scale);
  }
  return x;
}

std::string ranges(const Plot& plot) {
  const Range x = x_range(plot);
  Range y;
  for (const PlotSeries& series : plot.series) {
    for (const PlotPoint& point : series.points)
      add_to_range(y, point.y, point.y_interval, plot.y_scale);
  }
  if (!plot.x_names.empty())
    return fmt::format("set xrange [-0.5:{}]\n", static_cast<double>(plot.x_names.size()) - 0.5) +
           y.lines("y", plot.y_scale);
  return x.lines("x", plot.x_scale) + y.lines("y", plot.y_scale);
}

constexpr std::size_t kMostTicks = 16;

bool has_rotated_names(const Plot& plot) {
  return plot.x_names.size() > 5 &&
         std::any_of(plot.x_names.begin(), plot.x_names.end(),
                     [](const std::string& name) { return name.size() > 6; });
}

// "20k": numbers of five digits and more would run into each other.
std::string short_number(double value) {
  for (const auto& [unit, name] : {std::pair{1e9, "G"}, std::pair{1e6, "M"}, std::pair{1e3, "k"}}) {
    if (std::abs(value) >= unit)
      return fmt::format("{:g}{}", value / unit, name);
  }
  return fmt::format("{:g}", value);
}

// About six ticks at 1, 2 or 5 times a power of ten.
std::vector<std::string> round_ticks(const Range& range) {
  const double width = range.high - range.low;
  double step = std::pow(10, std::floor(std::log10(width / 6)));
  for (const double factor : {2.0, 2.5, 2.0}) step *= width / step > 7 ? factor : 1;
  std::vector<std::string> ticks;
  for (double at = std::floor(range.low / step); at * step <= range.high + step; ++at)
    ticks.push_back(fmt::format("{} {}", quoted(short_number(at * step)), at * step));
  return ticks;
}

// Names, or each x value where they are few and whole numbers.
std::string x_tick_lines(const Plot& plot) {
  std::vector<std::string> ticks;
  for (std::size_t i = 0; i < plot.x_names.size(); ++i)
    ticks.push_back(fmt::format("{} {}", quoted(plot.x_names[i]), i));
  if (!ticks.empty()) {
    return fmt::format("set xtics {}({})\n", has_rotated_names(plot) ? "rotate by -35 " : "",
                       fmt::join(ticks, ", "));
  }
  std::set<double> values;
  for (const PlotSeries& series : plot.series) {
    for (const PlotPoint& point : series.points) values.insert(point.x);
  }
  const bool whole = std::all_of(values.begin(), values.end(),
                                 [](double value) { return value == std::floor(value); });
  const Range range = x_range(plot);
  const bool is_large = plot.x_scale == Scale::kLinear && range.high >= 10000;
  if (is_large && range.high > range.low)
    return fmt::format("set xtics ({})\n", fmt::join(round_ticks(range), ", "));
  return whole && values.size() <= kMostTicks
             ? fmt::format("set xtics ({})\n", fmt::join(values, ", "))
             : "";
}

// 1, 2 and 5 times the powers of ten: a logarithmic axis of little range would show one number.
std::string y_tick_lines(const Plot& plot) {
  if (plot.y_scale == Scale::kLinear)
    return "";
  std::vector<std::string> ticks;
  for (int power = -6; power <= 9; ++power) {
    for (const int digit : {1, 2, 5})
      ticks.push_back(fmt::format("{:g}", digit * std::pow(10, power)));
  }
  return fmt::format("set ytics ({})\n", fmt::join(ticks, ", "));
}

std::string label_lines(const Plot& plot, double font_size) {
  std::string out;
  for (std::size_t i = 0; i < plot.series.size(); ++i) {
    for (const PlotPoint& point : plot.series[i].points) {
      if (!point.label.empty()) {
        out += fmt::format("set label {} at {},{} offset 0.6,0.6 font ',{}' tc rgb '{}'\n",
                           quoted(point.label), point.x, point.y, 0.75 * font_size,
                           kColours[i % kColours.size()]);
      }
    }
  }
  return out;
}

// The title, and the notes between it and the plot.
std::string title_lines(const Plot& plot, double font_size) {
  const auto n = static_cast<double>(plot.notes.size());
  std::string out = fmt::format("set title {} offset 0,{} noenhanced\nset tmargin {}\n",
                                quoted(plot.title), 1.1 * n, 2.5 + 1.2 * n);
  for (std::size_t i = 0; i < plot.notes.size(); ++i) {
    const double height = 1.03 + 0.05 * (n - 1 - static_cast<double>(i));
    out += fmt::format("set label {} at graph 0.5,{} center font ',{}' tc rgb '#333333'\n",
                       quoted(plot.notes[i]), height, 0.8 * font_size);
  }
  return out;
}

// How far a line's points are drawn from where they are, so that the intervals of several lines at
// one x stand beside each other: a formula for gnuplot of a column.
std::string shifted(const Plot& plot, std::size_t series, int column) {
  const double lines = static_cast<double>(
      std::count_if(plot.series.begin(), plot.series.end(),
                    [](const PlotSeries& one) { return one.style == SeriesStyle::kLine; }));
  if (plot.series[series].style != SeriesStyle::kLine || lines < 2)
    return fmt::to_string(column);
  const double share =
      (static_cast<double>(series) - 0.5 * (lines - 1)) * std::min(0.008, 0.03 / lines);
  const Range x = x_range(plot);
  if (plot.x_scale != Scale::kLinear)
    return fmt::format("(${}*{:.6g})", column, std::pow(std::max(2.0, x.high / x.low), share));
  const double width =
      plot.x_names.empty() ? x.high - x.low : static_cast<double>(plot.x_names.size());
  return fmt::format("(${}+{:.6g})", column, share * width);
}

std::string series_clauses(const Plot& plot, const std::string& data_file) {
  std::vector<std::string> clauses;
  for (std::size_t i = 0; i < plot.series.size(); ++i) {
    const PlotSeries& series = plot.series[i];
    const std::string from = fmt::format("{} index {}", quoted(data_file), i);
    const std::string x = shifted(plot, i, 1);
    const std::string colour = fmt::format("lc rgb '{}'", kColours[i % kColours.size()]);
    const std::string title = "title " + quoted(series.name);
    if (series.style == SeriesStyle::kSteps) {
      clauses.push_back(
          fmt::format("{} using 1:4 with lines dt 2 lw 2 lc rgb '#555555' {}", from, title));
      continue;
    }
    clauses.push_back(fmt::format(
        "{} using {}:4:{}:{}:5:6 with xyerrorbars {} pt {} ps 0 lw 1.3 notitle", from, x,
        shifted(plot, i, 2), shifted(plot, i, 3), colour, kMarkers[i % kMarkers.size()]));
    const char* with = series.style == SeriesStyle::kLine ? "linespoints" : "points";
    const std::string dash = series.style == SeriesStyle::kLine
                                 ? fmt::format("dt {} ", kDashes[i % kDashes.size()])
                                 : "";
    clauses.push_back(fmt::format("{} using {}:4 with {} {}{} pt {} ps 1.1 lw 2 {}", from, x, with,
                                  dash, colour, kMarkers[i % kMarkers.size()], title));
  }
  return fmt::format("{}", fmt::join(clauses, ", \\\n     "));
}

// Runs gnuplot on a script, with its messages kept for the error.
void run_gnuplot(const std::string& folder, const std::string& script, const std::string& kept) {
  const std::string log = (std::filesystem::path(folder) / ".gnuplot-messages").string();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  std::string program = "gnuplot", argument = script;
  char* arguments[] = {program.data(), argument.data(), nullptr};
  pid_t child = 0;
  const int failed = ::posix_spawnp(&child, "gnuplot", &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  const bool ran = failed == 0 && ::waitpid(child, &status, 0) == child;
  std::string message;
  if (ran && file_exists(log) && std::filesystem::file_size(log) > 0)
    message = std::string(MappedFile::open(log)->text().substr(0, 300));
  ::unlink(log.c_str());
  if (!ran || (WIFEXITED(status) && WEXITSTATUS(status) == 127)) {
    throw DataError("gnuplot", -1, "the program on the PATH (package gnuplot-nox)" + kept,
                    std::strerror(failed == 0 ? ENOENT : failed));
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    std::replace(message.begin(), message.end(), '\n', ' ');
    throw DataError(script, -1, "a script that gnuplot draws", message);
  }
}

}  // namespace

Table plot_table(const Plot& plot) {
  constexpr Align kRight = Align::kRight;
  Table table{plot.title,
              {{"series", ""},
               {"x", plot.x_label, kRight},
               {"x_low", "", kRight, Audience::kPrograms},
               {"x_high", "", kRight, Audience::kPrograms},
               {"y", plot.y_label, kRight},
               {"y_low", "low", kRight},
               {"y_high", "high", kRight},
               {"label", ""}},
              {}};
  // A column of nothing is not for people.
  const auto any = [&plot](auto&& has) {
    for (const PlotSeries& series : plot.series) {
      for (const PlotPoint& point : series.points) {
        if (has(point))
          return true;
      }
    }
    return false;
  };
  if (any([](const PlotPoint& point) { return point.x_interval.has_value(); })) {
    table.columns[2] = {"x_low", "low", kRight};
    table.columns[3] = {"x_high", "high", kRight};
  }
  if (!any([](const PlotPoint& point) { return !point.label.empty(); }))
    table.columns[7].audience = Audience::kPrograms;
  const auto low = [](const std::optional<Interval>& i) { return i ? Cell(i->low) : Cell(); };
  const auto high = [](const std::optional<Interval>& i) { return i ? Cell(i->high) : Cell(); };
  for (const PlotSeries& series : plot.series) {
    if (series.style == SeriesStyle::kSteps)
      continue;
    for (const PlotPoint& point : series.points) {
      Cell x = point.x;
      const auto index = static_cast<std::size_t>(std::max(0.0, point.x));
      if (index < plot.x_names.size())
        x = plot.x_names[index];
      table.rows.push_back({series.name, x, low(point.x_interval), high(point.x_interval), point.y,
                            low(point.y_interval), high(point.y_interval), point.label});
    }
  }
  return table;
}

std::string plot_data(const Plot& plot) {
  std::string out = "# x x_low x_high y y_low y_high; a block a series, two empty lines between\n";
  for (const PlotSeries& series : plot.series) {
    for (const PlotPoint& point : series.points) {
      const Interval x = point.x_interval.value_or(Interval{point.x, point.x});
      const Interval y = point.y_interval.value_or(Interval{point.y, point.y});
      out += fmt::format("{} {} {} {} {} {}\n", point.x, x.low, x.high, point.y, y.low, y.high);
    }
    out += "\n\n";
  }
  return out;
}

std::string plot_script(const Plot& plot, const std::string& data_file,
                        const std::string& output_file) {
  std::string out = fmt::format("set terminal {}\nset output {}\n",
                                terminal_of(ending_of(output_file)), quoted(output_file));
  const double font_size = font_size_of(ending_of(output_file));
  out +=
      "set encoding utf8\nset grid lt 1 dt 1 lc rgb '#dddddd' lw 0.7\nset border 3 lw 1.2\n"
      "set tics nomirror\nset rmargin 6\n";
  out += title_lines(plot, font_size);
  out += plot.series.size() == 1 ? "unset key\n"
                                 : "set key below Left reverse noenhanced samplen 2.5 height 0.8\n";
  out += axis_lines("x", plot.x_scale, plot.x_label) + axis_lines("y", plot.y_scale, plot.y_label);
  if (has_rotated_names(plot))
    out += "set xlabel offset 0,-1.3\nset bmargin 7\n";
  out += ranges(plot) + x_tick_lines(plot) + y_tick_lines(plot) + label_lines(plot, font_size);
  return out + "plot " + series_clauses(plot, data_file) + "\n";
}

void write_plot(const Plot& plot, const std::string& path) {
  const std::string ending = ending_of(path);
  const std::string stem = path.substr(0, path.size() - ending.size() - 1);
  const std::string data = stem + ".dat", script = stem + ".gp";
  write_file_atomically(data, plot_data(plot));
  write_file_atomically(script, plot_script(plot, data, path));
  const std::string folder = std::filesystem::absolute(path).parent_path().string();
  run_gnuplot(folder, script, fmt::format("; {} and {} are written", script, data));
}

std::string plot_svg(const Plot& plot) {
  std::string folder = (std::filesystem::temp_directory_path() / "dlmbench-plot-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr)
    throw DataError(folder, -1, "a temporary folder", std::strerror(errno));
  const std::string path = folder + "/plot.svg";
  std::string svg;
  try {
    write_plot(plot, path);
    svg = std::string(MappedFile::open(path)->text());
  } catch (...) {
    std::filesystem::remove_all(folder);
    throw;
  }
  std::filesystem::remove_all(folder);
  return svg;
}

}  // namespace dlm
