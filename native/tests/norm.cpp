// Layer norm and batch norm against float64, forward and backward, with and without each optional argument; equal bits
// for 1, 2 and 3 threads. Sums are float32 over at most 1024 elements or 64 rows, so they may be off by that many
// roundings of the sum of their terms' sizes. The mean's rounding shifts every distance by |mean| epsilon.
#include "../cpu/norm/blocks.h"
#include "../cpu/simd/stream.h"
#include "tensors.h"

extern "C" __attribute__((weak)) void __asan_init();
extern "C" __attribute__((weak)) void __tsan_init();

namespace {

using namespace firesteel;
using namespace firesteel::test;

double short_sum(double length) { return length < 1024 ? length + 8 : 1032; }

// Elements [N, C, L] around one channel, or [rows, columns] along one row.
struct Group {
  size_t start, outer, outer_step, inner;
  size_t size() const { return outer * inner; }
  template <class F>
  void each(const F& body) const {
    for (size_t o = 0; o < outer; o++)
      for (size_t i = 0; i < inner; i++) body(start + o * outer_step + i);
  }
};

struct Moments {
  double mean, variance, mean_size;
};

Moments moments(const Floats& x, const Group& group) {
  if (group.size() == 0) return {0, 0, 0};
  double sum = 0, size = 0, squares = 0;
  group.each([&](size_t at) {
    sum += x[at];
    size += fabs(double(x[at]));
  });
  const double count = double(group.size()), mean = sum / count;
  group.each([&](size_t at) { squares += (x[at] - mean) * (x[at] - mean); });
  return {mean, squares / count, size / count};
}

constexpr double eps = 1e-5;

void test_layer_norm(int64_t rows, int64_t columns, bool weighted, bool biased, float shift) {
  char what[120];
  snprintf(what, sizeof what, "layer norm [%lld, %lld] weight %d bias %d shift %g", (long long)rows, (long long)columns,
           weighted, biased, shift);
  Floats x({rows, columns}), y({rows, columns}), mean({rows}), rstd({rows}), weight({columns}), bias({columns});
  Floats dy({rows, columns}), dx({rows, columns}), dweight({columns}), dbias({columns});
  randomise(x, 1, 2, shift);
  randomise(weight, 2, 0.5, 1);
  randomise(bias, 3);
  randomise(dy, 4);
  const View *w = weighted ? &weight.view : nullptr, *b = biased ? &bias.view : nullptr;
  run<float>(what, {&y, &mean, &rstd}, [&](Context& c) {
    FIRESTEEL_ISA::layer_norm_forward(c, y.view, mean.view, rstd.view, x.view, w, b, eps);
  });
  run<float>(what, {&dx, &dweight, &dbias}, [&](Context& c) {
    FIRESTEEL_ISA::layer_norm_backward(c, &dx.view, weighted ? &dweight.view : nullptr, biased ? &dbias.view : nullptr,
                                       dy.view, x.view, mean.view, rstd.view, w);
  });
  const size_t R = size_t(rows), C = size_t(columns);
  const double length = short_sum(double(columns));
  bool statistics = true, forward = true, backward = true;
  std::vector<double> dw(C, 0), dw_size(C, 0), db(C, 0), db_size(C, 0);
  for (size_t r = 0; r < R; r++) {
    const Moments m = moments(x, {r * C, 1, 0, C});
    const double scale = 1 / sqrt(m.variance + eps), off = epsilon * (length * m.mean_size + fabs(m.mean));
    statistics = statistics && near(mean[r], m.mean, off) &&
                 near(rstd[r], scale, scale * (epsilon * (length + 8) + off * off * scale * scale));
    double sum = 0, product = 0, sum_size = 0, product_size = 0;
    for (size_t c = 0; c < C; c++) {
      const double wc = weighted ? double(weight[c]) : 1, h = (x[r * C + c] - m.mean) * scale;
      const double expected = h * wc + (biased ? double(bias[c]) : 0);
      const double h_error = off * scale + fabs(h) * epsilon * (length + 8);
      forward = forward && near(y[r * C + c], expected, wc * h_error + 2 * epsilon * (fabs(expected) + 1));
      const double g = dy[r * C + c] * wc;
      sum += g;
      sum_size += fabs(g);
      product += g * h;
      product_size += fabs(g) * (fabs(h) + h_error / epsilon / (length + 8));
      dw[c] += dy[r * C + c] * h;
      dw_size[c] += fabs(double(dy[r * C + c])) * (fabs(h) * (length + 8) + h_error / epsilon);
      db[c] += dy[r * C + c];
      db_size[c] += fabs(double(dy[r * C + c]));
    }
    for (size_t c = 0; c < C; c++) {
      const double h = (x[r * C + c] - m.mean) * scale, g = dy[r * C + c] * (weighted ? double(weight[c]) : 1);
      const double n = double(C), expected = scale * (g - sum / n - h * product / n);
      const double h_error = off * scale + fabs(h) * epsilon * (length + 8);
      const double allowed = scale * (epsilon * (length + 16) * (sum_size / n + fabs(h) * product_size / n + fabs(g)) +
                                      h_error * product_size / n);
      backward = backward && near(dx[r * C + c], expected, allowed);
    }
  }
  check(statistics, std::string(what) + ": statistics");
  check(forward, std::string(what) + ": forward");
  check(backward, std::string(what) + ": dx");
  bool dw_right = true, db_right = true;
  for (size_t c = 0; c < C; c++) {
    dw_right = dw_right && (!weighted || near(dweight[c], dw[c], epsilon * 72 * dw_size[c]));
    db_right = db_right && (!biased || near(dbias[c], db[c], epsilon * 72 * db_size[c]));
  }
  check(dw_right, std::string(what) + ": dweight");
  check(db_right, std::string(what) + ": dbias");
}

// The results of group or RMS norm for `rows` rows of x. at(row, i) tells which parameter belongs to element i of a
// row.
struct Made {
  const Floats &x, &dy, &y, &dx, &rstd, &dweight, &dbias, &weight, &bias;
  const Floats* mean;  // null: not centred
};

template <class F>
void check_rows(const char* what, const Made& made, size_t rows, size_t columns, const F& at) {
  const bool centred = made.mean != nullptr;
  const double n = double(columns), length = short_sum(n);
  bool statistics = true, forward = true, backward = true, parameters = true;
  const size_t count = made.weight.size();
  std::vector<double> dw(count, 0), dw_size(count, 0), db(count, 0), db_size(count, 0);
  for (size_t r = 0; r < rows; r++) {
    Moments m = moments(made.x, {r * columns, 1, 0, columns});
    if (!centred) m = {0, m.variance + m.mean * m.mean, 0};
    const double scale = 1 / sqrt(m.variance + eps), off = epsilon * (length * m.mean_size + fabs(m.mean));
    statistics = statistics && (!centred || near((*made.mean)[r], m.mean, off)) &&
                 near(made.rstd[r], scale, scale * (epsilon * (length + 8) + off * off * scale * scale));
    double sum = 0, product = 0, sum_size = 0, product_size = 0;
    const auto h_of = [&](size_t i) { return (made.x[r * columns + i] - m.mean) * scale; };
    const auto error_of_h = [&](double h) { return off * scale + fabs(h) * epsilon * (length + 8); };
    for (size_t i = 0; i < columns; i++) {
      const size_t p = at(r, i);
      const double w = made.weight[p], h = h_of(i), expected = h * w + (centred ? double(made.bias[p]) : 0);
      forward = forward &&
                near(made.y[r * columns + i], expected, fabs(w) * error_of_h(h) + 3 * epsilon * (fabs(expected) + 1));
      const double dy = made.dy[r * columns + i], g = dy * w;
      sum += centred ? g : 0;
      sum_size += fabs(g);
      product += g * h;
      product_size += fabs(g) * (fabs(h) + error_of_h(h) / epsilon / (length + 8));
      dw[p] += dy * h;
      dw_size[p] += fabs(dy) * (fabs(h) * (length + 8) + error_of_h(h) / epsilon);
      db[p] += dy;
      db_size[p] += fabs(dy);
    }
    for (size_t i = 0; i < columns; i++) {
      const double h = h_of(i), g = made.dy[r * columns + i] * double(made.weight[at(r, i)]);
      const double expected = scale * (g - sum / n - h * product / n);
      const double allowed = scale * (epsilon * (length + 16) * (sum_size / n + fabs(h) * product_size / n + fabs(g)) +
                                      error_of_h(h) * product_size / n);
      backward = backward && near(made.dx[r * columns + i], expected, allowed);
    }
  }
  for (size_t p = 0; p < count; p++)
    parameters = parameters && near(made.dweight[p], dw[p], epsilon * 72 * dw_size[p]) &&
                 (!centred || near(made.dbias[p], db[p], epsilon * (length + 72) * db_size[p]));
  check(statistics, std::string(what) + ": statistics");
  check(forward, std::string(what) + ": forward");
  check(backward, std::string(what) + ": dx");
  check(parameters, std::string(what) + ": dweight, dbias");
}

void test_rms_norm(int64_t rows, int64_t columns) {
  char what[80];
  snprintf(what, sizeof what, "rms norm [%lld, %lld]", (long long)rows, (long long)columns);
  Floats x({rows, columns}), y({rows, columns}), dy({rows, columns}), dx({rows, columns}), dx_alone({rows, columns});
  Floats rstd({rows}), weight({columns}), dweight({columns});
  randomise(x, 1, 2, 0.5);
  randomise(weight, 2, 0.5, 1);
  randomise(dy, 4);
  run<float>(what, {&y, &rstd},
             [&](Context& c) { FIRESTEEL_ISA::rms_norm_forward(c, y.view, rstd.view, x.view, &weight.view, eps); });
  run<float>(what, {&dx, &dweight}, [&](Context& c) {
    FIRESTEEL_ISA::rms_norm_backward(c, &dx.view, &dweight.view, dy.view, x.view, rstd.view, &weight.view);
  });
  run<float>(what, {&dx_alone}, [&](Context& c) {
    FIRESTEEL_ISA::rms_norm_backward(c, &dx_alone.view, nullptr, dy.view, x.view, rstd.view, &weight.view);
  });
  check(same_bits(dx.view.data, dx_alone.view.data, 4 * dx.size()), std::string(what) + ": dx alone differs");
  check_rows(what, {x, dy, y, dx, rstd, dweight, dweight, weight, weight, nullptr}, size_t(rows), size_t(columns),
             [](size_t, size_t i) { return i; });
}

void test_group_norm(int64_t N, int64_t C, int64_t L, int64_t groups, bool affine) {
  char what[100];
  snprintf(what, sizeof what, "group norm [%lld, %lld, %lld] in %lld, affine %d", (long long)N, (long long)C,
           (long long)L, (long long)groups, affine);
  Floats x({N, C, L}), y({N, C, L}), dy({N, C, L}), dx({N, C, L}), mean({N * groups}), rstd({N * groups});
  Floats weight({C}), bias({C}), dweight({C}), dbias({C}), dbias_alone({C});
  randomise(x, 1, 2, 3);
  randomise(weight, 2, 0.5, 1);
  randomise(bias, 3);
  randomise(dy, 4);
  if (!affine)
    for (size_t c = 0; c < size_t(C); c++) {
      weight.data[c] = 1;
      bias.data[c] = 0;
    }
  const View *w = affine ? &weight.view : nullptr, *b = affine ? &bias.view : nullptr;
  run<float>(what, {&y, &mean, &rstd}, [&](Context& c) {
    FIRESTEEL_ISA::group_norm_forward(c, y.view, mean.view, rstd.view, x.view, w, b, groups, eps);
  });
  run<float>(what, {&dx, &dweight, &dbias}, [&](Context& c) {
    FIRESTEEL_ISA::group_norm_backward(c, &dx.view, &dweight.view, &dbias.view, dy.view, x.view, mean.view, rstd.view,
                                       w, groups);
  });
  run<float>(what, {&dbias_alone}, [&](Context& c) {
    FIRESTEEL_ISA::group_norm_backward(c, nullptr, nullptr, &dbias_alone.view, dy.view, x.view, mean.view, rstd.view, w,
                                       groups);
  });
  check(same_bits(dbias.view.data, dbias_alone.view.data, 4 * dbias.size()),
        std::string(what) + ": dbias alone differs");
  const size_t of_group = size_t(C / groups), l = size_t(L), g = size_t(groups);
  check_rows(what, {x, dy, y, dx, rstd, dweight, dbias, weight, bias, &mean}, size_t(N * groups), of_group * l,
             [&](size_t row, size_t i) { return row % g * of_group + i / l; });
}

struct BatchOptions {
  bool weighted, biased, running, training;
  float shift;
};

void test_batch_norm(int64_t N, int64_t C, int64_t L, BatchOptions o) {
  char what[160];
  snprintf(what, sizeof what, "batch norm [%lld, %lld, %lld] weight %d bias %d running %d training %d shift %g",
           (long long)N, (long long)C, (long long)L, o.weighted, o.biased, o.running, o.training, o.shift);
  Floats x({N, C, L}), y({N, C, L}), dy({N, C, L}), dx({N, C, L});
  Floats mean({C}), rstd({C}), weight({C}), bias({C}), running_mean({C}), running_var({C}), dweight({C}), dbias({C});
  randomise(x, 1, 2, o.shift);
  randomise(weight, 2, 0.5, 1);
  randomise(bias, 3);
  randomise(dy, 4);
  randomise(running_mean, 5);
  randomise(running_var, 6, 0.5, 1);
  const std::vector<float> old_mean = running_mean.data, old_var = running_var.data;
  const double momentum = 0.1;
  const View *w = o.weighted ? &weight.view : nullptr, *b = o.biased ? &bias.view : nullptr;
  run<float>(what, {&y, &mean, &rstd, &running_mean, &running_var}, [&](Context& c) {
    FIRESTEEL_ISA::batch_norm_forward(c, y.view, mean.view, rstd.view, x.view, w, b,
                                      o.running ? &running_mean.view : nullptr, o.running ? &running_var.view : nullptr,
                                      momentum, eps, o.training);
  });
  run<float>(what, {&dx, &dweight, &dbias}, [&](Context& c) {
    FIRESTEEL_ISA::batch_norm_backward(c, &dx.view, &dweight.view, &dbias.view, dy.view, x.view, mean.view, rstd.view,
                                       w, o.training);
  });
  // Any output computed alone has the same bits.
  Floats dx_alone({N, C, L}), dweight_alone({C});
  run<float>(what, {&dx_alone}, [&](Context& c) {
    FIRESTEEL_ISA::batch_norm_backward(c, &dx_alone.view, nullptr, nullptr, dy.view, x.view, mean.view, rstd.view, w,
                                       o.training);
  });
  run<float>(what, {&dweight_alone}, [&](Context& c) {
    FIRESTEEL_ISA::batch_norm_backward(c, nullptr, &dweight_alone.view, nullptr, dy.view, x.view, mean.view, rstd.view,
                                       w, o.training);
  });
  check(same_bits(dx.view.data, dx_alone.view.data, 4 * dx.size()), std::string(what) + ": dx alone differs");
  check(same_bits(dweight.view.data, dweight_alone.view.data, 4 * dweight.size()),
        std::string(what) + ": dweight alone differs");

  const size_t n_ = size_t(N), c_ = size_t(C), l_ = size_t(L);
  bool statistics = true, forward = true, running = true, backward = true, parameters = true;
  for (size_t c = 0; c < c_; c++) {
    const Group group{c * l_, n_, c_ * l_, l_};
    const double n = double(group.size()), length = short_sum(n);
    Moments m = moments(x, group);
    if (!o.training) m = {old_mean[c], double(old_var[c]), 0};
    const double scale = 1 / sqrt(m.variance + eps), off = epsilon * (length * m.mean_size + fabs(m.mean));
    const double rstd_error = scale * (epsilon * (length + 8) + off * off * scale * scale);
    statistics = statistics && near(mean[c], m.mean, off) && near(rstd[c], scale, rstd_error);
    if (o.running && o.training) {
      const double unbiased = n > 1 ? m.variance * n / (n - 1) : 0, share = n > 0 ? momentum : 0;
      running = running &&
                near(running_mean[c], (1 - share) * old_mean[c] + share * m.mean,
                     off + epsilon * (fabs(double(old_mean[c])) + 1)) &&
                near(running_var[c], (1 - share) * old_var[c] + share * unbiased,
                     epsilon * (length + 8) * (unbiased + 1) + off * off + epsilon * old_var[c]);
    }
    if (o.running && !o.training) running = running && running_mean[c] == old_mean[c] && running_var[c] == old_var[c];
    const double wc = o.weighted ? double(weight[c]) : 1;
    double sum = 0, product = 0, size = 0, product_size = 0;
    group.each([&](size_t at) {
      const double h = (x[at] - m.mean) * scale, expected = h * wc + (o.biased ? double(bias[c]) : 0);
      const double h_error = off * scale + fabs(h) * (rstd_error / scale + 4 * epsilon);
      forward = forward && near(y[at], expected, wc * h_error + 3 * epsilon * (fabs(expected) + 1));
      sum += dy[at];
      size += fabs(double(dy[at]));
      product += dy[at] * h;
      product_size += fabs(double(dy[at])) * (fabs(h) + h_error / epsilon / (length + 8));
    });
    parameters = parameters && near(dbias[c], sum, epsilon * length * size) &&
                 near(dweight[c], product, epsilon * (length + 16) * product_size);
    group.each([&](size_t at) {
      const double h = (x[at] - m.mean) * scale;
      const double h_error = off * scale + fabs(h) * (rstd_error / scale + 4 * epsilon);
      const double through = o.training ? (sum + h * product) / n : 0;
      const double sizes = fabs(double(dy[at])) + (o.training ? (size + fabs(h) * product_size) / n : 0);
      backward = backward && near(dx[at], wc * scale * (dy[at] - through),
                                  wc * scale * (epsilon * (length + 16) * sizes + h_error * product_size / n));
    });
  }
  check(statistics, std::string(what) + ": statistics");
  check(forward, std::string(what) + ": forward");
  check(running, std::string(what) + ": running statistics");
  check(parameters, std::string(what) + ": dweight, dbias");
  check(backward, std::string(what) + ": dx");
}

void test_wrong_calls() {
  Floats x({2, 3}), y({2, 3}), short_vector({1}), two({2}), three({3}), planes({2, 3, 1});
  check(error_of([&](Context& c) {
          FIRESTEEL_ISA::layer_norm_forward(c, y.view, short_vector.view, two.view, x.view, nullptr, nullptr, eps);
        }).code == ErrorCode::internal,
        "layer norm refuses a mean that is too short");
  check(error_of([&](Context& c) {
          FIRESTEEL_ISA::layer_norm_forward(c, y.view, two.view, two.view, x.view, &two.view, nullptr, eps);
        }).code == ErrorCode::internal,
        "layer norm refuses a weight that is too short");
  check(error_of([&](Context& c) {
          FIRESTEEL_ISA::batch_norm_forward(c, planes.view, three.view, three.view, planes.view, nullptr, nullptr,
                                            nullptr, nullptr, 0.1, eps, false);
        }).code == ErrorCode::internal,
        "batch norm refuses evaluation without running statistics");
  check(error_of([&](Context& c) {
          FIRESTEEL_ISA::rms_norm_forward(c, y.view, short_vector.view, x.view, nullptr, eps);
        }).code == ErrorCode::internal,
        "rms norm refuses a vector that is too short");
  check(error_of([&](Context& c) {
          FIRESTEEL_ISA::group_norm_forward(c, planes.view, two.view, two.view, planes.view, nullptr, nullptr, 2, eps);
        }).code == ErrorCode::internal,
        "group norm refuses groups that do not divide the channels");
}

}  // namespace

int main() {
  for (int64_t columns : {1, 2, 7, 8, 9, 31, 32, 33, 768, 1023, 1025, 5000})
    for (int form = 0; form < 4; form++) test_layer_norm(7, columns, form % 2, form / 2, form == 3 ? 100.0f : 0.0f);
  for (int64_t rows : {1, 63, 64, 65, 300, 3000})
    for (int form = 0; form < 4; form++) test_layer_norm(rows, 33, form % 2, form / 2, 0);
  using namespace FIRESTEEL_ISA::simd;
  for (int64_t block :
       {int64_t(lanes), int64_t(4 * lanes), FIRESTEEL_ISA::norm::layer::part_columns, least_aligned, row_block})
    for (int64_t columns : around(block)) test_layer_norm(5, columns, true, true, 100);
  for (int64_t rows : around(FIRESTEEL_ISA::norm::layer::block_rows)) test_layer_norm(rows, 9, true, true, 0);
  for (int64_t rows : around(rows_together(1))) test_layer_norm(rows, short_row, true, true, 0);
  for (int64_t rows : around(FIRESTEEL_ISA::norm::layer::work_elements / 64)) test_layer_norm(rows, 64, true, true, 0);
  test_layer_norm(4099, 1031, true, true, 0);  // written past the caches
  test_layer_norm(0, 5, true, true, 0);
  test_layer_norm(5, 0, true, true, 0);
  for (int64_t columns : {int64_t(0), int64_t(1), int64_t(33), row_block - 1, row_block, row_block + 1})
    for (int64_t rows : {0, 1, 7, 65}) test_rms_norm(rows, columns);
  for (int64_t rows : around(FIRESTEEL_ISA::norm::layer::block_rows)) test_rms_norm(rows, 9);
  test_rms_norm(4099, 1031);  // written past the caches
  {
    using namespace FIRESTEEL_ISA::norm::group;
    for (bool affine : {false, true}) {
      for (int64_t L : around(lanes)) test_group_norm(3, 6, L, 2, affine);
      for (int64_t L : around(piece_elements)) test_group_norm(2, 4, L, 2, affine);  // few rows, cut or not
      for (int64_t N : around(enough_rows)) test_group_norm(N, 3, piece_elements + 9, 1, affine);
      for (int64_t L : {1, 2, 7, 33, 784}) test_group_norm(5, 6, L, 3, affine);
      test_group_norm(37, 32, 2501, 8, affine);  // written past the caches
      test_group_norm(1, 32, 40001, 4, affine);
      test_group_norm(0, 4, 3, 2, affine);
      test_group_norm(2, 4, 0, 2, affine);
      test_group_norm(2, 0, 3, 2, affine);
    }
  }
  using namespace FIRESTEEL_ISA::norm::batch;
  for (bool training : {false, true}) {
    const BatchOptions o = {true, true, true, training, 50};
    for (int64_t L : around(lanes)) test_batch_norm(3, 2, L, o);
    for (int64_t C : around(lanes)) test_batch_norm(5, C, 1, o);
    for (int64_t L : around(row_block / 2)) test_batch_norm(5, 3, L, o);  // several planes in a piece
    for (int64_t L : around(most_of_piece)) test_batch_norm(2, 2, L, o);
    for (int64_t C : around(enough_units)) test_batch_norm(9, C, work_elements / 8, o);  // channels in parts, or not
    for (int64_t C : around(2 * enough_units)) test_batch_norm(3, C, short_run / 4, o);  // some channels together
    for (int64_t C : around(most_together * enough_units)) test_batch_norm(2, C, 3, o);
    for (int64_t N : around(far_elements / (16 * 1024))) test_batch_norm(N, 16, 1024, o);  // prefetched
  }
  for (int form = 0; form < 16; form++) {
    const bool training = form & 1;
    const BatchOptions o{bool(form & 2), bool(form & 4), form & 8 || !training, training, form % 3 == 0 ? 50.0f : 0.0f};
    for (int64_t L : {1, 2, 7, 8, 9, 33, 784}) test_batch_norm(5, 6, L, o);
    for (int64_t C : {1, 7, 8, 9, 33}) test_batch_norm(37, C, 1, o);
    test_batch_norm(1, 1, 1, o);
    test_batch_norm(1, 2, 9001, o);
    test_batch_norm(64, 3, 1000, o);  // channels cut into parts
    test_batch_norm(9, 32, 640, o);
    test_batch_norm(45, 70, 49, o);  // small planes: several of one channel, and several channels, at a time
    test_batch_norm(515, 530, 3, o);
    // Results written past the caches. Sanitizers are slow, so under them both modes run once.
    if (!(__asan_init || __tsan_init) || form == 5 || form == 10) test_batch_norm(37, 32, 2501, o);
    test_batch_norm(0, 3, 4, o);
    test_batch_norm(3, 0, 4, o);
    test_batch_norm(3, 4, 0, o);
    test_batch_norm(0, 3, 1, o);
  }
  test_wrong_calls();
  return finish("norm");
}
