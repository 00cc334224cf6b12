// Decides where Winograd's algorithm pays, by measured costs of it and of the direct sum, in multiply-adds of the
// micro-kernel. Tiles that extend beyond a border, and panels that are not full, count as whole ones.
#include "../gemm/micro.h"
#include "winograd.h"
#include "winograd_tile.h"

namespace firesteel::FIRESTEEL_ISA::conv {

namespace {

// Packing and short sums add a fifth to the cost of the direct sum, and a tenth to the products of transformed tiles.
constexpr double direct_share = 0.8, product_share = 0.9;
// The costs of transforming one channel of a tile on the way in or out, one channel of a tile for the gradient of the
// weight, and a filter one way. They include all memory traffic.
constexpr double tile_cost = 400, gradient_tile_cost = 900, filter_cost = 800, gradient_filter_cost = 1800;

// Larger paddings are excluded, because results that read only padding would be rounding errors of their tiles instead
// of 0.
bool applies(const Shape& s) {
  return s.R == 3 && s.S == 3 && s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 && s.dilation_w == 1 &&
         s.pad_h <= 2 && s.pad_w <= 2;
}

double direct_cost(const Shape& s) { return double(9 * s.N * s.P * s.Q) * double(s.C * s.M) / direct_share; }

}  // namespace

bool winograd_product_pays(const Shape& s, int64_t channels, int64_t M, int64_t P, int64_t Q) {
  if (!applies(s)) return false;
  const double tiles = double(round_up(map_tiles(s.N, P, Q).count, gemm::tile_columns)), filters = double(channels * M);
  const double cost =
      (winograd_elements / product_share * tiles + filter_cost) * filters + tile_cost * tiles * double(channels + M);
  return cost < direct_cost(s);
}

bool winograd_weight_gradient_pays(const Shape& s) {
  if (!applies(s)) return false;
  const double tiles = double(map_tiles(s.N, s.P, s.Q).count), filters = double(s.C * s.M);
  const double cost = (winograd_elements / product_share * tiles + gradient_filter_cost) * filters +
                      gradient_tile_cost * tiles * double(s.C + s.M);
  return cost < direct_cost(s);
}

}  // namespace firesteel::FIRESTEEL_ISA::conv
