// The rule by which Winograd's algorithm leaves tiles to the direct sum (winograd.h). Its error in any result of a tile
// grows with the whole tile, while the direct sum's error grows with what the result reads. The rule compares the two:
// the energy of a position is the sum of its squares over the channels, and a tile is wide if
//
//   energy of the tile > widest_range * energy of what some result of it reads
//
// A tile is also wide if its energy is not finite, which begins at elements of 1.8e19, or with infinities and NaN. A
// tile that hangs over a border may keep so few results that all of them read one position. It is wide if its energy
// exceeds that of all positions but one by as much. So a result that reads only zeros, beside other numbers, is an
// exact zero; squares of less than 1e-23 count as zeros here. The rule depends on the data alone, so the result does
// not depend on the thread that takes a tile, or on the other tiles that it takes.
#pragma once
#include "winograd_tile.h"

namespace firesteel::FIRESTEEL_ISA::conv {

// The range of equal numbers is 4. At a corner with a padding of 2 it is 16.
constexpr float widest_range = 256;

enum class Range { nothing, even, wide, not_finite };

// Energies are read in whole vectors, shifted by up to two columns: so many floats must follow them.
constexpr int64_t energy_slack = 2 * simd::lanes;

static inline float smaller_of(float a, float b) { return a < b ? a : b; }

// A quick look at `tiles` whole tiles together, which nearly always settles the question. Each window holds one of the
// two middle rows of a tile. So no window has less energy than the least stretch of those rows, and no tile has more
// than all of them.
template <int Side, int Window>
static inline bool all_even(const float* energies, int64_t pitch, int64_t tiles) {
  constexpr int64_t lanes = simd::lanes, missing = winograd_tile - (Side - Window + 1);
  const int64_t width = tiles * winograd_tile + Side - winograd_tile;
  const int64_t windows = tiles * winograd_tile - missing;
  if (windows < lanes) return false;
  Vec sum = simd::zero(), lowest = simd::set(__builtin_inff());
  for (int64_t i = 0; i < width; i += lanes) {
    // The last vector overlaps the one before, as below. Counting twice errs on the safe side.
    if (i > width - lanes) i = width - lanes;
    for (int r = 0; r < Side; r++) sum = sum + simd::load(energies + r * pitch + i);
  }
  for (int64_t i = 0; i < windows; i += lanes) {
    if (i > windows - lanes) i = windows - lanes;
    for (int r = Window - 1; r <= Side - Window; r++) {
      Vec stretch = simd::load(energies + r * pitch + i);
      for (int s = 1; s < Window; s++) stretch = stretch + simd::load(energies + r * pitch + i + s);
      lowest = simd::min(lowest, stretch);
    }
  }
  const float energy = simd::reduce_add(sum);
  return energy > 0 && energy - energy == 0 && energy <= widest_range * simd::reduce_min(lowest);
}

// Calls found(tile, range) for the tiles of a strip, given the energies of its positions in `Side` rows, `pitch` floats
// apart. Tiles are Side x Side, and results read windows of Window x Window. These are 6 and 3 for a source. They are 4
// and 2 for the gradient of a result, which every tap reads as a whole. Only rows x columns of the strip's [4][tiles *
// 4] results exist.
template <int Side, int Window, class F>
static inline void find_ranges(const float* energies, int64_t pitch, int64_t tiles, int64_t rows, int64_t columns,
                               const F& found) {
  constexpr int64_t missing = winograd_tile - (Side - Window + 1), at_once = 8;
  const int64_t windows = max(1, rows - missing);
  for (int64_t first = 0; first < tiles; first += at_once) {
    const int64_t count = min(at_once, tiles - first), width = count * winograd_tile + Side - winograd_tile;
    const bool whole_tiles = rows == winograd_tile && columns >= (first + count) * winograd_tile;
    if (whole_tiles && all_even<Side, Window>(energies + first * winograd_tile, pitch, count)) {
      for (int64_t t = 0; t < count; t++) found(first + t, Range::even);
      continue;
    }
    // Each column has its own energy, and the least energy of the windows that begin there.
    float least[at_once * winograd_tile + Side + simd::lanes], whole[at_once * winograd_tile + Side + simd::lanes];
    for (int64_t i = 0; i < width; i += simd::lanes) {
      Vec sum = simd::zero(), across[Side], lowest = simd::zero();
      const float* from = energies + first * winograd_tile + i;
      for (int r = 0; r < Side; r++, from += pitch) {
        across[r] = simd::load(from);
        sum = sum + across[r];
        for (int s = 1; s < Window; s++) across[r] = across[r] + simd::load(from + s);
      }
      for (int p = 0; p + Window <= Side && p < windows; p++) {
        Vec window = across[p];
        for (int r = 1; r < Window; r++) window = window + across[p + r];
        lowest = p ? simd::min(lowest, window) : window;
      }
      simd::store(least + i, lowest);
      simd::store(whole + i, sum);
    }
    for (int64_t t = 0; t < count; t++) {
      const float *of_windows = least + t * winograd_tile, *of_columns = whole + t * winograd_tile;
      const int64_t present = min(winograd_tile, columns - (first + t) * winograd_tile);
      float energy = 0, lowest = of_windows[0];
      for (int i = 0; i < Side; i++) energy += of_columns[i];
      for (int64_t q = 1; q < present - missing; q++) lowest = smaller_of(lowest, of_windows[q]);
      if (rows < winograd_tile || present < winograd_tile) {
        float peak = 0;
        for (int r = 0; r < Side; r++)
          for (int i = 0; i < Side; i++) {
            const float e = energies[r * pitch + (first + t) * winograd_tile + i];
            peak = e > peak ? e : peak;
          }
        lowest = smaller_of(lowest, energy - peak);
      }
      found(first + t, !(energy - energy == 0)              ? Range::not_finite
                       : !(energy <= widest_range * lowest) ? Range::wide
                       : energy == 0                        ? Range::nothing
                                                            : Range::even);
    }
  }
}

}  // namespace firesteel::FIRESTEEL_ISA::conv
