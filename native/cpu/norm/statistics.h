// Means of pieces, and sums of squares about them, which are merged in float64.
#pragma once
#include "../simd/row.h"

namespace firesteel::FIRESTEEL_ISA::norm {

struct Statistics {
  double count, mean, squares;  // squares: sum of (x - mean)^2
};

static inline void merge(Statistics& a, const Statistics& b) {
  if (b.count == 0) return;
  const double count = a.count + b.count, distance = b.mean - a.mean;
  a.mean += distance * (b.count / count);
  a.squares += b.squares + distance * distance * (a.count * b.count / count);
  a.count = count;
}

// The statistics of `count` numbers of x, in two passes while they are in the cache. sum(totals, add) sums the numbers
// as sum_row does. It calls add(at, n, sums) for elements [at, at + n) of x. The elements `ahead` further are
// prefetched meanwhile.
template <class Sum>
FIRESTEEL_INLINE Statistics statistics_by(const float* x, double count, int64_t ahead, const Sum& sum) {
  using namespace simd;
  double total[1];
  sum(total, [&](int64_t at, int64_t n, Vec* s) { s[0] = s[0] + load_some(x + at, n); });
  const float mean = float(total[0] / count);
  const Vec center = set(mean);
  double about[2];  // sums of distances to the rounded mean, and of their squares
  sum(about, [&](int64_t at, int64_t n, Vec* s) {
    __builtin_prefetch(x + at + ahead, 0, 2);
    const Vec distance = first_of(load_some(x + at, n) - center, n, zero());
    s[0] = s[0] + distance;
    s[1] = fma(distance, distance, s[1]);
  });
  const double rest = about[0] / count;
  return {count, double(mean) + rest, about[1] - rest * about[0]};
}

}  // namespace firesteel::FIRESTEEL_ISA::norm
