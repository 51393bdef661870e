// exp and tanh on vectors: the same bits for a value in whichever lane it stands.
#pragma once

namespace tandem {

// e^x within 2 ulp for x in [-87, 88], and what it is at the nearer end elsewhere; NaN for NaN.
// x = n ln 2 + r with |r| <= ln 2 / 2; the polynomial in r is that of Cephes' expf (S. Moshier).
template <typename V>
[[gnu::always_inline]] inline typename V::F Exp(typename V::F x) {
  using F = typename V::F;
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits; 127 more make them the
  // exponent field of 2^n.
  const F rounder = V::Set(12583039.0f);
  const F bounded = V::Min(V::Set(88.0f), V::Max(V::Set(-87.0f), x));
  const F shifted = V::MulAdd(bounded, V::Set(1.44269504f), rounder);
  const F n = V::Sub(shifted, rounder);
  // ln 2 in two parts, the first short enough for n times it to be exact.
  F r = V::MulAdd(n, V::Set(-0.693359375f), bounded);
  r = V::MulAdd(n, V::Set(2.12194440e-4f), r);

  F p = V::Set(1.9875691500e-4f);
  p = V::MulAdd(p, r, V::Set(1.3981999507e-3f));
  p = V::MulAdd(p, r, V::Set(8.3334519073e-3f));
  p = V::MulAdd(p, r, V::Set(4.1665795894e-2f));
  p = V::MulAdd(p, r, V::Set(1.6666665459e-1f));
  p = V::MulAdd(p, r, V::Set(5.0000001201e-1f));
  p = V::Add(V::MulAdd(p, V::Mul(r, r), r), V::Set(1.0f));
  return V::Mul(p, V::FromBits(V::ShiftLeft(V::BitsOf(shifted), 23)));
}

// 2^x for x <= 0 within 1 ulp, but no less than 2^-126; exactly 1 for 0, NaN for NaN.
// x = n + f with |f| <= 1/2; the polynomial in f has the least relative error of those that are 1
// at 0 (E. Remez's algorithm).
template <typename V>
[[gnu::always_inline]] inline typename V::F Exp2OfNegative(typename V::F x) {
  using F = typename V::F;
  // As in Exp.
  const F rounder = V::Set(12583039.0f);
  const F bounded = V::Max(V::Set(-126.0f), x);
  const F shifted = V::Add(bounded, rounder);
  const F f = V::Sub(bounded, V::Sub(shifted, rounder));
  F p = V::Set(1.55946778e-4f);
  p = V::MulAdd(p, f, V::Set(1.34066434e-3f));
  p = V::MulAdd(p, f, V::Set(9.61769279e-3f));
  p = V::MulAdd(p, f, V::Set(5.55031039e-2f));
  p = V::MulAdd(p, f, V::Set(2.40226522e-1f));
  p = V::MulAdd(p, f, V::Set(6.93147242e-1f));
  p = V::MulAdd(p, f, V::Set(1.0f));
  return V::Mul(p, V::FromBits(V::ShiftLeft(V::BitsOf(shifted), 23)));
}

// tanh(x) within 4 ulp: near 0 by Cephes' tanhf polynomial, elsewhere 1 - 2 / (e^2x + 1).
template <typename V>
[[gnu::always_inline]] inline typename V::F Tanh(typename V::F x) {
  using F = typename V::F;
  const F square = V::Mul(x, x);
  F p = V::Set(-5.70498872745e-3f);
  p = V::MulAdd(p, square, V::Set(2.06390887954e-2f));
  p = V::MulAdd(p, square, V::Set(-5.37397155531e-2f));
  p = V::MulAdd(p, square, V::Set(1.33314422036e-1f));
  p = V::MulAdd(p, square, V::Set(-3.33332819422e-1f));
  const F near = V::MulAdd(V::Mul(p, square), x, x);

  const F denominator = V::Add(Exp<V>(V::Add(x, x)), V::Set(1.0f));
  const F far = V::Sub(V::Set(1.0f), V::Div(V::Set(2.0f), denominator));
  return V::SelectLess(square, V::Set(0.390625f), near, far);  // |x| < 0.625
}

}  // namespace tandem
