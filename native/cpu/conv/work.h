// Work is cut into chunks by shape alone, so that results do not depend on the number of threads.
#pragma once
#include "../chunks.h"
#include "blocks.h"

namespace firesteel::FIRESTEEL_ISA::conv {

// Rows in parts that consist of whole panels.
struct Parts {
  int64_t size, count;
};

static inline Parts cut_rows(int64_t rows, int64_t size) {
  const int64_t whole = round_up(min(size, rows), whole_rows);
  return {whole, ceil_div(rows, whole)};
}

// The rows of the result that an item computes. An item computes all rows unless items are few, because each part packs
// the patches anew.
static inline int64_t rows_of_part(int64_t rows, int64_t items) {
  return max(least_part_rows, ceil_div(rows, ceil_div(enough_chunks / 2, max(1, items))));
}

// The rows of packed panels, `depth` deep, that stay in the second-level cache while panels of columns pass by. These
// are all rows, or parts of about equal size.
static inline int64_t kept_rows(int64_t rows, int64_t depth) {
  if (rows * depth <= most_kept) return rows;
  return round_up(ceil_div(rows, ceil_div(rows * depth, kept_part)), whole_rows);
}

}  // namespace firesteel::FIRESTEEL_ISA::conv
