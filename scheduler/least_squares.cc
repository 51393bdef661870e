#include "scheduler/least_squares.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tandem {
namespace {

// Keeps equations of unknowns that only ever appeared together solvable; far below what any
// measurement tells.
constexpr double kRidge = 1e-9;
// A gradient is taken for rounding when it is smaller than this part of what it is the sum of.
constexpr double kLeastGradient = 1e-7;

}  // namespace

void NormalEquations::Scale(double factor) {
  for (Vector& row : matrix_) {
    for (double& value : row) value *= factor;
  }
  for (double& value : right_) value *= factor;
}

void NormalEquations::Add(const Vector& a, double y, double weight) {
  for (int i = 0; i < kSize; ++i) {
    if (a[i] == 0) continue;
    for (int j = 0; j < kSize; ++j) matrix_[i][j] += weight * a[i] * a[j];
    right_[i] += weight * a[i] * y;
  }
}

void NormalEquations::AddDiagonal(int i, double y, double weight) {
  matrix_[i][i] += weight;
  right_[i] += weight * y;
}

NormalEquations::Vector NormalEquations::Solve(const Subset& subset, const Vector& right) const {
  const int n = subset.size;
  std::array<Vector, kSize> factor{};  // lower triangle of Cholesky's
  Vector scale{}, y{};
  for (int i = 0; i < n; ++i) scale[i] = 1 / std::sqrt(matrix_[subset.at[i]][subset.at[i]]);
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j <= i; ++j) {
      double sum = matrix_[subset.at[i]][subset.at[j]] * scale[i] * scale[j];
      for (int k = 0; k < j; ++k) sum -= factor[i][k] * factor[j][k];
      factor[i][j] = i == j ? std::sqrt(std::max(sum + kRidge, kRidge)) : sum / factor[j][j];
    }
    double sum = right[subset.at[i]] * scale[i];
    for (int k = 0; k < i; ++k) sum -= factor[i][k] * y[k];
    y[i] = sum / factor[i][i];
  }
  Vector x{};
  for (int i = n - 1; i >= 0; --i) {
    for (int k = i + 1; k < n; ++k) y[i] -= factor[k][i] * y[k];
    y[i] /= factor[i][i];
  }
  for (int i = 0; i < n; ++i) x[subset.at[i]] = y[i] * scale[i];
  return x;
}

NormalEquations::Vector NormalEquations::SolveNonNegative(const Vector& start) const {
  Vector x = start;
  std::array<bool, kSize> is_free{};
  for (int i = 0; i < kSize; ++i) is_free[i] = x[i] > 0 && matrix_[i][i] > 0;
  Descend(&is_free, &x);
  // Each round frees one unknown; the bound is against rounding that would free one for ever.
  for (int round = 0; round < 2 * kSize; ++round) {
    const int steepest = Steepest(is_free, x);
    if (steepest < 0) return x;
    is_free[steepest] = true;
    Descend(&is_free, &x);
    if (!is_free[steepest]) return x;  // rounding: there is nothing to gain
  }
  return x;
}

int NormalEquations::Steepest(const std::array<bool, kSize>& is_free, const Vector& x) const {
  int steepest = -1;
  double best = 0;
  for (int i = 0; i < kSize; ++i) {
    if (is_free[i] || matrix_[i][i] <= 0) continue;
    double gradient = right_[i], size = std::abs(right_[i]);
    for (int j = 0; j < kSize; ++j) {
      gradient -= matrix_[i][j] * x[j];
      size = std::max(size, std::abs(matrix_[i][j] * x[j]));
    }
    if (gradient <= kLeastGradient * size) continue;
    gradient /= std::sqrt(matrix_[i][i]);
    if (gradient <= best) continue;
    best = gradient;
    steepest = i;
  }
  return steepest;
}

void NormalEquations::Descend(std::array<bool, kSize>* is_free, Vector* x) const {
  for (;;) {
    Subset subset;
    for (int i = 0; i < kSize; ++i) {
      if ((*is_free)[i]) subset.at[subset.size++] = i;
    }
    const Vector wanted = Solve(subset, right_);
    double step = 1;
    int first = -1;  // to become 0
    for (int k = 0; k < subset.size; ++k) {
      const int i = subset.at[k];
      if (wanted[i] > 0) continue;
      const double reach = (*x)[i] <= 0 ? 0 : (*x)[i] / ((*x)[i] - wanted[i]);
      if (first >= 0 && reach >= step) continue;
      step = reach;
      first = i;
    }
    for (int k = 0; k < subset.size; ++k) {
      double& value = (*x)[subset.at[k]];
      value = first < 0 ? wanted[subset.at[k]] : value + step * (wanted[subset.at[k]] - value);
    }
    if (first < 0) return;
    (*is_free)[first] = false;
    (*x)[first] = 0;
  }
}

double NormalEquations::Variance(const Vector& a) const {
  Subset seen;
  for (int i = 0; i < kSize; ++i) {
    if (matrix_[i][i] > 0) {
      seen.at[seen.size++] = i;
    } else if (a[i] != 0) {
      return std::numeric_limits<double>::infinity();
    }
  }
  const Vector x = Solve(seen, a);
  double sum = 0;
  for (int i = 0; i < kSize; ++i) sum += a[i] * x[i];
  return sum;
}

}  // namespace tandem
