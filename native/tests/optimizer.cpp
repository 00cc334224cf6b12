// Optimiser steps against PyTorch's formulas in float64, over lists of ragged tensors; the norm and its scaling;
// equal bits for 1, 2 and 3 threads.
#include <memory>

#include "../cpu/optimizer/blocks.h"
#include "../cpu/simd/vector.h"
#include "tensors.h"

namespace {

using namespace firesteel;
using namespace firesteel::test;

// Ragged and empty tensors, with sizes around a register, the elements that a norm sums at once, and a piece of work.
// Small tensors fill a chunk to one element below, exactly, and to one above.
std::vector<int64_t> make_sizes() {
  using FIRESTEEL_ISA::simd::lanes;
  using namespace FIRESTEEL_ISA::optimizer_blocks;
  std::vector<int64_t> sizes = {1, 0, 7, 33, 50001, 100};
  for (int64_t size : about({lanes, sums_at_once * lanes / 2, piece_elements})) sizes.push_back(size);
  for (int64_t rest : {-1, 0, 1}) {
    for (int i = 0; i < 3; i++) sizes.push_back(piece_elements / 4);
    sizes.push_back(piece_elements / 4 + rest);
  }
  return sizes;
}
const std::vector<int64_t> sizes = make_sizes();
const size_t tensor_count = sizes.size(), large_tensor = 4;

struct List {
  std::vector<std::unique_ptr<Floats>> tensors;
  std::vector<View> views;
  std::vector<Floats*> pointers;

  List(uint32_t seed, float scale, float shift) {
    for (int64_t size : sizes) {
      tensors.push_back(std::make_unique<Floats>(std::initializer_list<int64_t>{size}));
      randomise(*tensors.back(), seed++, scale, shift);
      views.push_back(tensors.back()->view);
      pointers.push_back(tensors.back().get());
    }
  }
  ViewList list() const { return {views.data(), int64_t(views.size())}; }
  Floats& operator[](size_t t) { return *tensors[t]; }
};

constexpr ViewList nothing{nullptr, 0};

// Copies in bfloat16 of the first tensors of a list. An element behind each must stay unchanged.
struct Shadows {
  const size_t count = tensor_count - 2;
  static constexpr uint16_t guard = 0xA5A5;
  std::vector<std::vector<uint16_t>> halves;
  std::vector<View> views;

  explicit Shadows(const List& list) {
    for (size_t t = 0; t < count; t++) {
      halves.emplace_back(list.tensors[t]->size() + 8, guard);
      views.push_back(list.views[t]);
    }
    for (size_t t = 0; t < count; t++) {
      views[t].dtype = DType::bfloat16;
      views[t].data = halves[t].data();
    }
  }
  ViewList list() const { return {views.data(), int64_t(count)}; }

  // Whether each copy is its tensor, rounded to nearest, ties to even.
  bool follow(List& list) const {
    for (size_t t = 0; t < count; t++) {
      for (size_t i = 0; i < list[t].size(); i++) {
        uint32_t bits;
        memcpy(&bits, &list[t][i], sizeof bits);
        const uint32_t rest = bits & 0xffff, odd = bits >> 16 & 1;
        if (halves[t][i] != uint16_t((bits >> 16) + (rest > 0x8000 || (rest == 0x8000 && odd)))) return false;
      }
      for (size_t i = list[t].size(); i < halves[t].size(); i++)
        if (halves[t][i] != guard) return false;
    }
    return true;
  }
};

std::vector<Floats*> all_of(std::initializer_list<List*> lists) {
  std::vector<Floats*> all;
  for (List* list : lists) all.insert(all.end(), list->pointers.begin(), list->pointers.end());
  return all;
}

std::vector<std::vector<float>> copy_of(List& list) {
  std::vector<std::vector<float>> copy;
  for (auto& tensor : list.tensors) copy.push_back(tensor->data);
  return copy;
}

void test_sgd(double momentum, double dampening, double decay, bool nesterov, bool maximize, bool first) {
  char what[120];
  snprintf(what, sizeof what, "sgd momentum %g dampening %g decay %g nesterov %d maximize %d first %d", momentum,
           dampening, decay, nesterov, maximize, first);
  const double lr = 0.05;
  List p(1, 1, 0), g(50, 2, 0), b(100, 1, 0);
  const Shadows shadows(p);
  const auto old_p = copy_of(p), old_b = copy_of(b);
  run<float>(what, all_of({&p, &b}), [&](Context& c) {
    FIRESTEEL_ISA::sgd(c, p.list(), g.list(), momentum != 0 ? b.list() : nothing, lr, momentum, dampening, decay,
                       nesterov, maximize, first, first ? nothing : shadows.list());
  });
  bool right = true;
  for (size_t t = 0; t < tensor_count; t++)
    for (size_t i = 0; i < p[t].size(); i++) {
      const double x = old_p[t][i], d = (maximize ? -g[t][i] : g[t][i]) + decay * x;
      double buffer = old_b[t][i], move = d;
      if (momentum != 0) {
        buffer = first ? d : momentum * buffer + (1 - dampening) * d;
        move = nesterov ? d + momentum * buffer : buffer;
      }
      right = right && near(b[t][i], buffer, 4 * epsilon * (fabs(d) + 1)) &&
              near(p[t][i], x - lr * move, epsilon * (fabs(x) + 8 * lr * (fabs(d) + 1)));
    }
  check(right, what);
  check(first || shadows.follow(p), std::string(what) + ": shadows");
}

void test_adam(bool decoupled, bool amsgrad, bool maximize, double decay, int64_t step) {
  char what[120];
  snprintf(what, sizeof what, "adam decoupled %d amsgrad %d maximize %d decay %g step %lld", decoupled, amsgrad,
           maximize, decay, (long long)step);
  const double lr = 1e-2, beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  List p(1, 1, 0), g(50, 2, 0), m(100, 1, 0), v(150, 0.4f, 0.5), most(200, 0.4f, 0.5);
  const Shadows shadows(p);
  const auto old_p = copy_of(p), old_m = copy_of(m), old_v = copy_of(v), old_most = copy_of(most);
  run<float>(what, all_of({&p, &m, &v, &most}), [&](Context& c) {
    FIRESTEEL_ISA::adam(c, p.list(), g.list(), m.list(), v.list(), amsgrad ? most.list() : nothing, lr, beta1, beta2,
                        eps, decay, decoupled, maximize, step, shadows.list());
  });
  const double correction1 = 1 - pow(beta1, double(step)), correction2 = 1 - pow(beta2, double(step));
  bool right = true;
  for (size_t t = 0; t < tensor_count; t++)
    for (size_t i = 0; i < p[t].size(); i++) {
      double x = old_p[t][i], d = maximize ? -g[t][i] : g[t][i];
      if (!decoupled) d += decay * x;
      if (decoupled) x *= 1 - lr * decay;
      const double mean = old_m[t][i] + (d - old_m[t][i]) * (1 - beta1);
      const double square = beta2 * old_v[t][i] + (1 - beta2) * d * d;
      const double largest = amsgrad ? fmax(square, old_most[t][i]) : square;
      const double move = lr / correction1 * mean / (sqrt(largest) / sqrt(correction2) + eps);
      right =
          right && near(m[t][i], mean, 4 * epsilon * (fabs(d) + 1)) &&
          near(v[t][i], square, 4 * epsilon * (d * d + 1)) &&
          (!amsgrad || near(most[t][i], largest, 4 * epsilon * (d * d + 1))) &&
          // The share of the mean's rounding error grows if the mean cancels.
          near(p[t][i], x - move, 2 * epsilon * fabs(x) + 16 * epsilon * fabs(move) * (1 + (fabs(d) + 1) / fabs(mean)));
    }
  check(right, what);
  check(shadows.follow(p), std::string(what) + ": shadows");
}

// The oracle of a step in float64. It returns the next x from x and the gradient d, and updates the states.
using Formula = double (*)(double x, double d, double* s);
using Step = void (*)(Context&, ViewList p, ViewList g, const ViewList* s, double decay, bool maximize,
                      ViewList shadows);

constexpr double lr = 0.02, eps = 1e-3, beta1 = 0.9, beta2 = 0.99;
double average(double keep, double mean, double value) { return keep * mean + (1 - keep) * value; }

// `states` lists of positive numbers.
void test_step(const std::string& name, int states, Step step, Formula formula, bool decoupled = false) {
  for (int form = 0; form < 4; form++) {
    const double decay = form & 1 ? 0.1 : 0;
    const bool maximize = form & 2;
    const std::string what = name + (decay ? " with decay" : "") + (maximize ? " maximizing" : "");
    List p(1, 1, 0), g(50, 2, 0);
    std::vector<std::unique_ptr<List>> s;
    std::vector<ViewList> lists;
    std::vector<Floats*> written = p.pointers;
    for (int k = 0; k < states; k++) {
      s.push_back(std::make_unique<List>(100 + 50 * k, 0.4f, 0.5));
      lists.push_back(s.back()->list());
      written.insert(written.end(), s.back()->pointers.begin(), s.back()->pointers.end());
    }
    const auto old_p = copy_of(p);
    std::vector<std::vector<std::vector<float>>> old;
    for (auto& list : s) old.push_back(copy_of(*list));
    const Shadows shadows(p);
    run<float>(what, written,
               [&](Context& c) { step(c, p.list(), g.list(), lists.data(), decay, maximize, shadows.list()); });
    bool right = true;
    for (size_t t = 0; t < tensor_count; t++)
      for (size_t i = 0; i < p[t].size(); i++) {
        double x = old_p[t][i], d = maximize ? -g[t][i] : g[t][i], now[3] = {};
        if (decoupled)
          x *= 1 - lr * decay;
        else
          d += decay * x;
        for (int k = 0; k < states; k++) now[k] = old[size_t(k)][t][i];
        const double next = formula(x, d, now);
        // Averages may cancel.
        right = right && near(p[t][i], next, 8 * epsilon * (fabs(x) + fabs(d) + 1) + 64 * epsilon * fabs(next - x));
        for (int k = 0; k < states; k++)
          right = right && near((*s[size_t(k)])[t][i], now[k], 16 * epsilon * (fabs(now[k]) + 1));
      }
    check(right, what);
    check(shadows.follow(p), what + ": shadows");
  }
}

void test_steps() {
  namespace isa = FIRESTEEL_ISA;
  test_step(
      "adamax", 2,
      [](Context& c, ViewList p, ViewList g, const ViewList* s, double decay, bool maximize, ViewList shadows) {
        isa::adamax(c, p, g, s[0], s[1], lr, beta1, beta2, eps, decay, maximize, shadows);
      },
      [](double x, double d, double* s) {
        s[0] = average(beta1, s[0], d);
        s[1] = fmax(beta2 * s[1], fabs(d) + eps);
        return x - lr * s[0] / s[1];
      });
  test_step(
      "radam that adapts", 2,
      [](Context& c, ViewList p, ViewList g, const ViewList* s, double decay, bool maximize, ViewList shadows) {
        isa::radam(c, p, g, s[0], s[1], lr, beta1, beta2, eps, 0.3, true, decay, true, maximize, shadows);
      },
      [](double x, double d, double* s) {
        s[0] = average(beta1, s[0], d);
        s[1] = average(beta2, s[1], d * d);
        return x - 0.3 * s[0] / (sqrt(s[1]) + eps);
      },
      true);
  test_step(
      "radam of momentum alone", 2,
      [](Context& c, ViewList p, ViewList g, const ViewList* s, double decay, bool maximize, ViewList shadows) {
        isa::radam(c, p, g, s[0], s[1], lr, beta1, beta2, eps, 0.3, false, decay, false, maximize, shadows);
      },
      [](double x, double d, double* s) {
        s[0] = average(beta1, s[0], d);
        s[1] = average(beta2, s[1], d * d);
        return x - 0.3 * s[0];
      });
  test_step(
      "rmsprop", 1,
      [](Context& c, ViewList p, ViewList g, const ViewList* s, double decay, bool maximize, ViewList shadows) {
        isa::rmsprop(c, p, g, s[0], nothing, nothing, lr, beta2, eps, 0, decay, maximize, shadows);
      },
      [](double x, double d, double* s) {
        s[0] = average(beta2, s[0], d * d);
        return x - lr * d / (sqrt(s[0]) + eps);
      });
  test_step(
      "rmsprop with momentum", 2,
      [](Context& c, ViewList p, ViewList g, const ViewList* s, double decay, bool maximize, ViewList shadows) {
        isa::rmsprop(c, p, g, s[0], nothing, s[1], lr, beta2, eps, 0.8, decay, maximize, shadows);
      },
      [](double x, double d, double* s) {
        s[0] = average(beta2, s[0], d * d);
        s[1] = 0.8 * s[1] + d / (sqrt(s[0]) + eps);
        return x - lr * s[1];
      });
  test_step(
      "adagrad", 1,
      [](Context& c, ViewList p, ViewList g, const ViewList* s, double decay, bool maximize, ViewList shadows) {
        isa::adagrad(c, p, g, s[0], lr, eps, decay, maximize, shadows);
      },
      [](double x, double d, double* s) {
        s[0] += d * d;
        return x - lr * d / (sqrt(s[0]) + eps);
      });
  test_step(
      "adadelta", 2,
      [](Context& c, ViewList p, ViewList g, const ViewList* s, double decay, bool maximize, ViewList shadows) {
        isa::adadelta(c, p, g, s[0], s[1], lr, beta1, eps, decay, maximize, shadows);
      },
      [](double x, double d, double* s) {
        s[0] = average(beta1, s[0], d * d);
        const double delta = sqrt(s[1] + eps) / sqrt(s[0] + eps) * d;
        s[1] = average(beta1, s[1], delta * delta);
        return x - lr * delta;
      });
  test_step(
      "lion", 1,
      [](Context& c, ViewList p, ViewList g, const ViewList* s, double decay, bool maximize, ViewList shadows) {
        isa::lion(c, p, g, s[0], lr, beta1, beta2, decay, maximize, shadows);
      },
      [](double x, double d, double* s) {
        const double v = average(beta1, s[0], d);
        s[0] = average(beta2, s[0], d);
        return x - (v > 0 ? lr : v < 0 ? -lr : 0);
      },
      true);
}

// If centred, the mean is small beside the root of the square, because the variance must not be negative.
void test_centred_rmsprop() {
  List p(1, 1, 0), g(50, 2, 0), square(100, 0.4f, 0.9f), mean(150, 0.3f, 0);
  const auto old_p = copy_of(p), old_square = copy_of(square), old_mean = copy_of(mean);
  run<float>("rmsprop, centred", all_of({&p, &square, &mean}), [&](Context& c) {
    FIRESTEEL_ISA::rmsprop(c, p.list(), g.list(), square.list(), mean.list(), nothing, lr, beta2, eps, 0, 0, false,
                           nothing);
  });
  bool right = true;
  for (size_t t = 0; t < tensor_count; t++)
    for (size_t i = 0; i < p[t].size(); i++) {
      const double x = old_p[t][i], d = g[t][i];
      const double s = average(beta2, old_square[t][i], d * d), m = average(beta2, old_mean[t][i], d);
      const double next = x - lr * d / (sqrt(s - m * m) + eps);
      right = right && near(p[t][i], next, 4 * epsilon * fabs(x) + 64 * epsilon * fabs(next - x)) &&
              near(mean[t][i], m, 8 * epsilon);
    }
  check(right, "rmsprop, centred");
}

void test_nadam(bool decoupled) {
  const std::string what = decoupled ? "nadam, decoupled" : "nadam";
  const double momentum = 0.8, next_momentum = 0.85, correction = 0.4, decay = 0.1;
  List p(1, 1, 0), g(50, 2, 0), m(100, 1, 0), v(150, 0.4f, 0.5);
  std::vector<std::unique_ptr<Floats>> products;
  std::vector<View> views;
  std::vector<Floats*> written = all_of({&p, &m, &v});
  for (size_t t = 0; t < tensor_count; t++) {
    products.push_back(std::make_unique<Floats>(std::initializer_list<int64_t>{}));
    (*products.back())[0] = 1 / (1 + 0.1f * float(t));
    views.push_back(products.back()->view);
    written.push_back(products.back().get());
  }
  const ViewList list{views.data(), int64_t(tensor_count)};
  const auto old_p = copy_of(p), old_m = copy_of(m), old_v = copy_of(v);
  const Shadows shadows(p);
  run<float>(what, written, [&](Context& c) {
    FIRESTEEL_ISA::nadam(c, p.list(), g.list(), m.list(), v.list(), list, lr, beta1, beta2, eps, momentum,
                         next_momentum, correction, decay, decoupled, false, shadows.list());
  });
  bool right = true;
  for (size_t t = 0; t < tensor_count; t++) {
    const double product = momentum / (1 + 0.1 * double(t));
    right = right && near((*products[t])[0], product, 4 * epsilon);
    for (size_t i = 0; i < p[t].size(); i++) {
      double x = old_p[t][i], d = g[t][i];
      if (decoupled)
        x *= 1 - lr * decay;
      else
        d += decay * x;
      const double mean = average(beta1, old_m[t][i], d), square = average(beta2, old_v[t][i], d * d);
      const double of_gradient = (1 - momentum) / (1 - product) * d;
      const double of_mean = next_momentum / (1 - product * next_momentum) * mean;
      const double size = sqrt(square / correction) + eps, all = (fabs(of_gradient) + fabs(of_mean)) / size;
      right = right &&
              near(p[t][i], x - lr * (of_gradient + of_mean) / size, 4 * epsilon * fabs(x) + 64 * epsilon * lr * all);
    }
  }
  check(right, what);
  check(shadows.follow(p), what + ": shadows");
  check(error_of([&](Context& c) {
          FIRESTEEL_ISA::nadam(c, p.list(), g.list(), m.list(), v.list(), p.list(), lr, beta1, beta2, eps, momentum,
                               next_momentum, correction, decay, decoupled, false, nothing);
        }).code == ErrorCode::internal,
        "products that are no scalars are refused");
}

void test_norm(double p) {
  const std::string what = "total_norm " + std::to_string(p);
  List x(1, 3, 0);
  Floats norm({});
  run<float>(what, {&norm}, [&](Context& c) { FIRESTEEL_ISA::total_norm(c, norm.view, x.list(), p); });
  double total = 0;
  for (size_t t = 0; t < tensor_count; t++)
    for (size_t i = 0; i < x[t].size(); i++) {
      const double size = fabs(double(x[t][i]));
      total = p == double(INFINITY) ? fmax(total, size) : total + pow(size, p);
    }
  const double expected = p == double(INFINITY) ? total : pow(total, 1 / p);
  check(near(norm[0], expected, epsilon * expected), what);

  for (double max_norm : {expected / 3, expected * 2}) {
    List y(1, 3, 0);
    run<float>(what + " clip_scale", y.pointers,
               [&](Context& c) { FIRESTEEL_ISA::clip_scale(c, y.list(), norm.view, max_norm); });
    const double scale = fmin(1, max_norm / (double(norm[0]) + 1e-6));
    bool right = true;
    for (size_t t = 0; t < tensor_count; t++)
      for (size_t i = 0; i < y[t].size(); i++)
        right = right && near(y[t][i], scale * x[t][i], 2 * epsilon * fabs(double(x[t][i])));
    check(right, what + " clip_scale");
  }
}

void test_special() {
  List x(1, 1, 0), y(1, 1, 0);
  Floats norm({});
  Context context(2);
  for (double p : {1.0, 2.0, 3.0, double(INFINITY)}) {
    x[large_tensor][40000] = NAN;
    FIRESTEEL_ISA::total_norm(context, norm.view, x.list(), p);
    check(norm[0] != norm[0], "NaN spreads to the norm");
    x[large_tensor][40000] = -INFINITY;
    FIRESTEEL_ISA::total_norm(context, norm.view, x.list(), p);
    check(norm[0] == INFINITY, "infinity spreads to the norm");
  }
  x[large_tensor][40000] = 1e30f;
  FIRESTEEL_ISA::total_norm(context, norm.view, x.list(), 2);
  check(norm[0] == 1e30f, "squares beyond float32");
  FIRESTEEL_ISA::total_norm(context, norm.view, nothing, 2);
  check(norm[0] == 0, "the norm of nothing");
  norm[0] = NAN;
  FIRESTEEL_ISA::clip_scale(context, y.list(), norm.view, 1);
  check(y[0][0] != y[0][0], "a NaN norm is not hidden");
  check(error_of([&](Context& c) { FIRESTEEL_ISA::total_norm(c, norm.view, x.list(), 0); }).code == ErrorCode::value,
        "p = 0 is refused");
  const ViewList fewer{x.views.data(), int64_t(tensor_count) - 1};
  check(error_of([&](Context& c) {
          FIRESTEEL_ISA::sgd(c, x.list(), fewer, nothing, 0.1, 0, 0, 0, false, false, true, nothing);
        }).code == ErrorCode::internal,
        "lists of different lengths are refused");
  const Shadows shadows(x);
  const ViewList two{x.views.data(), 2}, other{shadows.views.data() + 1, 2};
  check(error_of([&](Context& c) {
          FIRESTEEL_ISA::sgd(c, two, two, nothing, 0.1, 0, 0, 0, false, false, true, shadows.list());
        }).code == ErrorCode::internal,
        "more shadows than parameters are refused");
  check(error_of([&](Context& c) {
          FIRESTEEL_ISA::sgd(c, two, two, nothing, 0.1, 0, 0, 0, false, false, true, other);
        }).code == ErrorCode::internal,
        "shadows of other sizes are refused");
}

}  // namespace

int main() {
  for (int form = 0; form < 16; form++)
    test_sgd(form & 1 ? 0.9 : 0, form & 2 ? 0.3 : 0, form & 4 ? 0.01 : 0, form & 8, form % 3 == 0, form % 5 < 2);
  for (int form = 0; form < 16; form++)
    test_adam(form & 1, form & 2, form & 4, form & 8 ? 0.1 : 0, form % 3 == 0 ? 1 : form % 3 == 1 ? 10 : 10000);
  test_steps();
  test_centred_rmsprop();
  for (bool decoupled : {false, true}) test_nadam(decoupled);
  for (double p : {1.0, 2.0, 3.0, 1.5, double(INFINITY)}) test_norm(p);
  test_special();
  return finish("optimizer");
}
