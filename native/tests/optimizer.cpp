// Optimiser steps against PyTorch's formulas in float64, over lists of ragged tensors; the norm and its scaling;
// equal bits for 1, 2 and 3 threads.
#include <memory>

#include "../cpu/optimizer/blocks.h"
#include "../cpu/simd/vector.h"
#include "tensors.h"

namespace {

using namespace firesteel;
using namespace firesteel::test;

// Ragged, and nothing; around a register, what a norm sums at once, and a piece of work; small ones that fill a chunk
// to one below, a whole one, and one above.
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

// Copies in bfloat16 of the first tensors of a list, with something behind each that must stay.
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

  // Whether each is its tensor, rounded to nearest, ties to even.
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
          // the share of the mean's rounding grows where mean cancels
          near(p[t][i], x - move, 2 * epsilon * fabs(x) + 16 * epsilon * fabs(move) * (1 + (fabs(d) + 1) / fabs(mean)));
    }
  check(right, what);
  check(shadows.follow(p), std::string(what) + ": shadows");
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
  for (double p : {1.0, 2.0, 3.0, 1.5, double(INFINITY)}) test_norm(p);
  test_special();
  return finish("optimizer");
}
