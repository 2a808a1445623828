#include "engine/detectors/covariance.hpp"

#include <Eigen/Cholesky>
#include <Eigen/Dense>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <boost/math/distributions/chi_squared.hpp>
#include <cmath>
#include <limits>
#include <numeric>

#include "engine/detectors/standardisation.hpp"
#include "kernels/arithmetic/scalar.hpp"

namespace lanner::engine {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXd;
using Index = Eigen::Index;

constexpr std::size_t rows_a_block = 2048;
constexpr std::size_t rows_a_feature = 5;  // fewer tell little of directions
constexpr int steps_most = 20;
constexpr double least_variance = 1e-9;  // of the mean one, in any direction

Index index(std::size_t n) {
  return static_cast<Index>(n);
}

// Rows [begin, end) as the network will see them.
Matrix standardised(Rows rows, const mlp::Standardisation& input, std::size_t begin, std::size_t end) {
  Matrix block(index(end - begin), index(rows.width));
  for (std::size_t i = begin; i < end; ++i)
    for (std::size_t j = 0; j < rows.width; ++j)
      block(index(i - begin), index(j)) = static_cast<double>(
          minimum(maximum((rows.row(i)[j] - input.shift[j]) * input.scale[j], -input.limit), input.limit));
  return block;
}

template <class Visit>
void each_block(Rows rows, const mlp::Standardisation& input, const Visit& visit) {
  for (std::size_t begin = 0; begin < rows.count; begin += rows_a_block)
    visit(standardised(rows, input, begin, std::min(begin + rows_a_block, rows.count)));
}

Eigen::Map<const Matrix> view(const Covariance& covariance) {
  return {covariance.values.data(), index(covariance.width), index(covariance.width)};
}

Covariance plain(const Vector& location, const Matrix& values) {
  return {static_cast<std::size_t>(location.size()),
          {location.begin(), location.end()},
          {values.data(), values.data() + values.size()}};
}

void set_constants_apart(Matrix& values, const std::vector<std::size_t>& constants) {
  for (std::size_t j : constants) {
    values.row(index(j)).setZero();
    values.col(index(j)).setZero();
    values(index(j), index(j)) = 1;
  }
}

Matrix symmetric(const Matrix& lower) {
  return lower.selfadjointView<Eigen::Lower>();
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Ledoit & Wolf's share for the correlations or covariances of n rows, from the mean fourth power of the
// rows' lengths.
double shrinkage_of(const Matrix& s, double fourth, double n) {
  const double mean_variance = s.trace() / static_cast<double>(s.rows());
  Matrix away = s;
  away.diagonal().array() -= mean_variance;
  const double spread = away.squaredNorm();  // d^2 of the paper
  if (!(spread > 0)) return 1;
  const double error = (fourth - s.squaredNorm()) / n;  // b^2
  return std::clamp(error / spread, 0.0, 1.0);
}

struct Estimate {
  Vector location;
  Matrix scatter;
};

Estimate plain_estimate(const Matrix& rows) {
  Estimate estimate{rows.colwise().mean(), Matrix::Zero(rows.cols(), rows.cols())};
  const Matrix centred = rows.rowwise() - estimate.location.transpose();
  estimate.scatter.selfadjointView<Eigen::Lower>().rankUpdate(centred.transpose(),
                                                              1 / static_cast<double>(rows.rows()));
  estimate.scatter = symmetric(estimate.scatter);
  return estimate;
}

// Of the chosen rows, the correlations shrunk by Ledoit & Wolf's share. A feature that is constant among them
// has its range among all rows as deviation.
Estimate estimate_of(const Matrix& x, const std::vector<Index>& chosen) {
  const Matrix rows = x(chosen, Eigen::all);
  Estimate estimate = plain_estimate(rows);
  constexpr double least_deviation = 1e-6, least_shrinkage = 1e-6;
  Vector deviation = estimate.scatter.diagonal().array().sqrt();
  for (Index j = 0; j < x.cols(); ++j) {
    if (deviation(j) > least_deviation) continue;
    const double range = x.col(j).maxCoeff() - x.col(j).minCoeff();
    deviation(j) = range > 0 ? range : 1;
  }
  const Vector scale = deviation.cwiseInverse();
  const Matrix centred = (rows.rowwise() - estimate.location.transpose()) * scale.asDiagonal();
  const double fourth = centred.rowwise().squaredNorm().array().square().mean();
  Matrix correlation = scale.asDiagonal() * estimate.scatter * scale.asDiagonal();
  const double share =
      std::max(shrinkage_of(correlation, fourth, static_cast<double>(chosen.size())), least_shrinkage);
  correlation *= 1 - share;
  correlation.diagonal().setOnes();
  estimate.scatter = deviation.asDiagonal() * correlation * deviation.asDiagonal();
  return estimate;
}

// Squared distances of all rows.
struct Distances {
  std::vector<double> squared;
  double log_determinant = 0;
};
Distances distances(const Matrix& x, const Estimate& estimate) {
  Matrix lifted = estimate.scatter;
  lifted.diagonal().array() += least_variance * estimate.scatter.diagonal().mean();
  const Eigen::LLT<Matrix> factor(lifted);
  Matrix centred = (x.rowwise() - estimate.location.transpose()).transpose();
  factor.matrixL().solveInPlace(centred);
  const Vector squared = centred.colwise().squaredNorm();
  const Vector diagonal = Matrix(factor.matrixL()).diagonal();
  return {{squared.begin(), squared.end()}, 2 * diagonal.array().log().sum()};
}

// The rows with the smallest distances, ties by row.
std::vector<Index> closest(const std::vector<double>& squared, std::size_t count) {
  std::vector<Index> order(squared.size());
  std::iota(order.begin(), order.end(), Index{0});
  const auto last = order.begin() + static_cast<std::ptrdiff_t>(count);
  const auto closer = [&](Index a, Index b) {
    const double x = squared[static_cast<std::size_t>(a)], y = squared[static_cast<std::size_t>(b)];
    return x < y || (x == y && a < b);
  };
  std::nth_element(order.begin(), last - 1, order.end(), closer);
  order.erase(last, order.end());
  std::sort(order.begin(), order.end());
  return order;
}

// Columns less their median over their median absolute deviation, or over the deviation where that is zero.
Matrix robustly_standardised(const Matrix& x) {
  Matrix z = x;
  for (Index j = 0; j < x.cols(); ++j) {
    std::vector<double> column(x.col(j).begin(), x.col(j).end());
    const double middle = median(column);
    for (double& value : column) value = std::fabs(value - middle);
    double spread = 1.4826 * median(column);
    if (!(spread > 0)) spread = std::sqrt((x.col(j).array() - middle).square().mean());
    z.col(j) = (x.col(j).array() - middle) / (spread > 0 ? spread : 1);
  }
  return z;
}

Matrix ranks(const Matrix& x) {
  Matrix ranked = x;
  std::vector<Index> order(static_cast<std::size_t>(x.rows()));
  for (Index j = 0; j < x.cols(); ++j) {
    std::iota(order.begin(), order.end(), Index{0});
    std::sort(order.begin(), order.end(), [&](Index a, Index b) { return x(a, j) < x(b, j); });
    for (std::size_t i = 0; i < order.size();) {
      std::size_t next = i;
      while (next < order.size() && x(order[next], j) == x(order[i], j)) ++next;
      for (std::size_t k = i; k < next; ++k) ranked(order[k], j) = static_cast<double>(i + next - 1) / 2;
      i = next;
    }
  }
  return ranked;
}

// A first guess at the scatter's directions becomes an estimate: the spread along each by the median absolute
// deviation, and the location by the medians there.
Estimate refined(const Matrix& z, const Matrix& guess) {
  const Eigen::SelfAdjointEigenSolver<Matrix> solver(guess);
  const Matrix directions = solver.eigenvectors();
  const Matrix along = z * directions;
  Vector spread(z.cols()), middle(z.cols());
  for (Index j = 0; j < z.cols(); ++j) {
    std::vector<double> column(along.col(j).begin(), along.col(j).end());
    middle(j) = median(column);
    for (double& value : column) value = std::fabs(value - middle(j));
    spread(j) = 1.4826 * median(column);
  }
  return {directions * middle,
          directions * spread.array().square().matrix().asDiagonal() * directions.transpose()};
}

// The covariance of normal rows is so much larger than that of the share of them that lies closest to the
// centre (Croux & Haesbroeck 1999).
double consistency(double share, double width) {
  const boost::math::chi_squared normal(width), inner(width + 2);
  return share / boost::math::cdf(inner, boost::math::quantile(normal, share));
}

}  // namespace

Covariance covariance_of(Rows rows, const mlp::Standardisation& input) {
  const Index d = index(rows.width);
  const double n = static_cast<double>(rows.count);
  Vector sum = Vector::Zero(d);
  each_block(rows, input, [&](const Matrix& block) { sum += block.colwise().sum().transpose(); });
  const Vector location = sum / n;
  Matrix scatter = Matrix::Zero(d, d);
  each_block(rows, input, [&](const Matrix& block) {
    const Matrix centred = block.rowwise() - location.transpose();
    scatter.selfadjointView<Eigen::Lower>().rankUpdate(centred.transpose(), 1 / n);
  });
  scatter = symmetric(scatter);
  set_constants_apart(scatter, constant_features(rows));
  return plain(location, scatter);
}

double ledoit_wolf(Rows rows, const mlp::Standardisation& input, const Covariance& covariance) {
  const Eigen::Map<const Vector> location(covariance.location.data(), index(covariance.width));
  double fourth = 0;
  each_block(rows, input, [&](const Matrix& block) {
    fourth += (block.rowwise() - location.transpose()).rowwise().squaredNorm().array().square().sum();
  });
  const double n = static_cast<double>(rows.count);
  return shrinkage_of(view(covariance), fourth / n, n);
}

void shrink(Covariance& covariance, double share) {
  Eigen::Map<Matrix> s(covariance.values.data(), index(covariance.width), index(covariance.width));
  const double mean_variance = s.trace() / static_cast<double>(covariance.width);
  s *= 1 - share;
  s.diagonal().array() += share * mean_variance;
}

Covariance minimum_covariance_determinant(Rows rows, const mlp::Standardisation& input, double support) {
  const Matrix x = standardised(rows, input, 0, rows.count);
  const std::size_t n = rows.count, d = rows.width;
  const std::size_t half = std::max<std::size_t>(n / 2, 1);
  const auto wanted = static_cast<std::size_t>(std::llround(support * static_cast<double>(n)));
  const std::size_t most = std::min(n, std::max(wanted, (n + d + 1) / 2));
  std::vector<std::vector<Index>> starts;
  if (n >= rows_a_feature * d) {
    const Matrix z = robustly_standardised(x);
    Matrix signs = z;
    for (Index i = 0; i < z.rows(); ++i)
      if (const double length = z.row(i).norm(); length > 0) signs.row(i) /= length;
    for (const Matrix& like : {Matrix(z.array().tanh()), ranks(z), signs})
      starts.push_back(closest(distances(z, refined(z, plain_estimate(like).scatter)).squared, half));
  } else {
    starts.emplace_back(n);
    std::iota(starts[0].begin(), starts[0].end(), Index{0});
  }

  std::vector<Index> best;
  double least = std::numeric_limits<double>::infinity();
  for (std::vector<Index>& chosen : starts) {
    double determinant = std::numeric_limits<double>::infinity();
    for (int step = 0; step < steps_most; ++step) {
      const Distances found = distances(x, estimate_of(x, chosen));
      std::vector<Index> next = closest(found.squared, most);
      const bool is_same = next == chosen;
      determinant = found.log_determinant;
      chosen = std::move(next);
      if (is_same) break;
    }
    if (determinant < least) {
      least = determinant;
      best = chosen;
    }
  }

  const double width = static_cast<double>(d);
  constexpr double share_inside = 0.975;
  Estimate estimate = estimate_of(x, best);
  if (most < n) estimate.scatter *= consistency(static_cast<double>(most) / static_cast<double>(n), width);
  const std::vector<double> squared = distances(x, estimate).squared;
  const double edge = boost::math::quantile(boost::math::chi_squared(width), share_inside);
  std::vector<Index> inside;
  for (std::size_t i = 0; i < n; ++i)
    if (squared[i] <= edge) inside.push_back(index(i));
  if (inside.size() >= best.size()) {
    estimate = estimate_of(x, inside);
    estimate.scatter *= consistency(share_inside, width);
  }
  set_constants_apart(estimate.scatter, constant_features(rows));
  return plain(estimate.location, estimate.scatter);
}

Axes principal_axes(const Covariance& covariance) {
  const Eigen::SelfAdjointEigenSolver<Matrix> solver(view(covariance));
  const std::size_t d = covariance.width;
  Axes axes;
  axes.directions.resize(d * d);
  for (std::size_t c = 0; c < d; ++c) {
    const Index at = index(d - 1 - c);  // Eigen's rise
    axes.variances.push_back(std::max(solver.eigenvalues()(at), 0.0));
    // The sign is anybody's: the largest part is made positive.
    const Vector direction = solver.eigenvectors().col(at);
    Index largest = 0;
    direction.cwiseAbs().maxCoeff(&largest);
    const double sign = direction(largest) < 0 ? -1 : 1;
    for (std::size_t j = 0; j < d; ++j) axes.directions[c * d + j] = sign * direction(index(j));
  }
  return axes;
}

std::vector<double> whitening(const Covariance& covariance) {
  const Index d = index(covariance.width);
  const Eigen::LLT<Matrix> factor(view(covariance));
  Matrix inverse = Matrix::Identity(d, d);
  factor.matrixL().solveInPlace(inverse);
  return {inverse.data(), inverse.data() + inverse.size()};
}

}  // namespace lanner::engine
