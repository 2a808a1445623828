#include "engine/choose/choose.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace lanner::engine {
namespace {

constexpr double few_rows = 10;

struct Candidate {
  std::string detector;
  std::map<std::string, std::string> settings;
  Cost cost;
};

// Two significant digits.
std::string rounded(double value) {
  char text[32];
  if (value >= 100) {
    double unit = 1;
    while (value / unit >= 100) unit *= 10;
    std::snprintf(text, sizeof text, "%.0f", std::round(value / unit) * unit);
  } else {
    std::snprintf(text, sizeof text, "%.2g", value);
  }
  return text;
}
// As the user wrote it.
std::string plain(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.12g", value);
  return text;
}

std::string counted(std::size_t count, const char* one, const char* many) {
  return std::to_string(count) + " " + (count == 1 ? one : many);
}

std::string named(const Candidate& candidate) {
  std::string settings;
  for (const auto& [key, value] : candidate.settings)
    settings += (settings.empty() ? "" : ", ") + key + "=" + value;
  return candidate.detector + (settings.empty() ? "" : " (" + settings + ")");
}

std::string text_of(const RowsSummary& rows) {
  std::string columns;
  if (rows.two_valued > 0) columns += std::to_string(rows.two_valued) + " of two values";
  if (rows.constant > 0)
    columns += (columns.empty() ? "" : ", ") + std::to_string(rows.constant) + " constant";
  std::string text = counted(rows.rows, "row", "rows") + " of " +
                     counted(rows.columns, "feature", "features") +
                     (columns.empty() ? "" : " (" + columns + ")");
  if (rows.distinct < rows.rows)
    text += ", " +
            rounded(100 * static_cast<double>(rows.rows - rows.distinct) / static_cast<double>(rows.rows)) +
            " % of them repeated";
  return text;
}

bool is_few(const RowsSummary& rows) {
  return static_cast<double>(rows.rows) < few_rows;
}

// In the order of the rule.
std::vector<Candidate> candidates(const RowsSummary& rows) {
  const double n = static_cast<double>(rows.rows), d = static_cast<double>(rows.columns);
  const double distinct_share = static_cast<double>(rows.distinct) / n;
  const Candidate mahalanobis{"mahalanobis", {}, cost_of_mahalanobis(n, d)};
  std::vector<Candidate> list;
  if (is_few(rows)) {
    list.push_back(mahalanobis);
    list.back().settings = {{"covariance", "shrunk"}};
  } else {
    list.push_back({"ensemble", {}, cost_of_ensemble(n, distinct_share, d, 10'000)});
    // With fewer rows than that it is the same again.
    for (const double among : {3000, 1000})
      if (n > among)
        list.push_back({"ensemble", {{"rows", plain(among)}}, cost_of_ensemble(n, distinct_share, d, among)});
    list.push_back(mahalanobis);
  }
  list.push_back({"isolation_forest", {}, cost_of_isolation_forest(n)});
  list.push_back({"copod", {}, cost_of_copod(n, d)});
  list.push_back({"histogram", {}, cost_of_histogram(n, d)});
  return list;
}

std::string why_first(const RowsSummary& rows) {
  if (is_few(rows))
    return "fewer than " + plain(few_rows) +
           " rows support no more than a covariance shrunk towards equal variances";
  return "it ranks best where the kind of anomaly isn't known";
}

struct Limit {
  double estimated, allowed;
  const char* unit;
  std::string text() const { return rounded(estimated) + " " + unit + " (allowed " + plain(allowed) + ")"; }
  bool holds() const { return estimated <= allowed; }
};

}  // namespace

std::span<const Parameter> auto_parameters() {
  static const std::vector<Parameter> table = {
      {"fit_s_max",
       Kind::number,
       "60",
       "Seconds of one core that fitting and calibrating may take, by the estimates of "
       "docs/detectors/auto.md",
       {},
       0.001,
       1e6},
      {"event_us_max",
       Kind::number,
       "1000",
       "Microseconds of one core that scoring an event may take, likewise",
       {},
       0.001,
       1e6},
  };
  return table;
}

TimeBudget time_budget(const Settings& settings) {
  return {settings.number("fit_s_max"), settings.number("event_us_max")};
}

Choice choose(const RowsSummary& rows, const TimeBudget& budget, const FitWork& work) {
  std::vector<Candidate> list = candidates(rows);
  for (Candidate& candidate : list)
    candidate.cost.fit_s =
        work.fits * candidate.cost.fit_s + 1e-6 * work.rows_to_score * candidate.cost.event_us;
  const auto limits = [&](const Candidate& candidate) {
    return std::array{Limit{candidate.cost.fit_s, budget.fit_s_max, "s to fit"},
                      Limit{candidate.cost.event_us, budget.event_us_max, "us an event"}};
  };
  const auto fits = [&](const Candidate& candidate) {
    return std::ranges::all_of(limits(candidate), &Limit::holds);
  };
  auto chosen = std::ranges::find_if(list, fits);
  std::string why = chosen == list.begin() ? why_first(rows) : "the first of the order that keeps the budget";
  if (chosen == list.end()) {
    chosen = std::ranges::min_element(list, {},
                                      [](const Candidate& candidate) { return candidate.cost.event_us; });
    why = "none keeps the budget, and it scores an event soonest";
  }

  Choice choice{chosen->detector, chosen->settings, chosen->cost, {text_of(rows)}};
  const auto [fit, event] = limits(*chosen);
  choice.reasons.push_back(named(*chosen) + ", because " + why + ": about " + fit.text() + ", " +
                           event.text());
  for (auto passed = list.begin(); passed != chosen; ++passed) {
    std::string over;
    for (const Limit& limit : limits(*passed))
      if (!limit.holds()) over += (over.empty() ? "" : ", ") + limit.text();
    choice.reasons.push_back("not " + named(*passed) + ": about " + over);
  }
  return choice;
}

}  // namespace lanner::engine
