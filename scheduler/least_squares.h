// Non-negative least squares of a few unknowns, from their normal equations.
#pragma once

#include <array>

namespace tandem {

// min (A x - b)' A^-1 (A x - b) over x >= 0, where A is the sum of w a a' and b of w a y over
// weighted observations y of a'x: the algorithm of Lawson and Hanson (Solving Least Squares
// Problems, 1974, chapter 23) on the normal equations. An unknown that no observation shows (its
// diagonal is 0) is 0. No allocation; the same numbers give the same result.
class NormalEquations {
 public:
  static constexpr int kSize = 9;
  using Vector = std::array<double, kSize>;

  // Multiplies all that was added by `factor`.
  void Scale(double factor);
  void Add(const Vector& a, double y, double weight);

  // The unknown `i` is `y`, seen with `weight`.
  void AddDiagonal(int i, double y, double weight);

  // `start`, which has to be non-negative, is where the search begins: near the result, it ends
  // soon.
  Vector SolveNonNegative(const Vector& start) const;

  // a' A^-1 a: the variance of a'x, in that of an observation of weight 1. Infinite where `a` needs
  // what no observation shows.
  double Variance(const Vector& a) const;

 private:
  // A subset of the unknowns, in order.
  struct Subset {
    std::array<int, kSize> at{};
    int size = 0;
  };

  // A x = right over `subset`, all other x being 0. Unknowns are scaled to a unit diagonal.
  Vector Solve(const Subset& subset, const Vector& right) const;
  // Minimises over the unknowns that are free; those that would become negative on the way to the
  // minimum become 0 and are free no more.
  void Descend(std::array<bool, kSize>* is_free, Vector* x) const;
  // The unknown that is not free and would best be larger than it is in x; -1: none.
  int Steepest(const std::array<bool, kSize>& is_free, const Vector& x) const;

  std::array<Vector, kSize> matrix_{};
  Vector right_{};
};

}  // namespace tandem
