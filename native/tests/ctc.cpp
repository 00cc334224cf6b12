// Connectionist temporal classification against float64. The cases are written-out sums over states, repeated labels,
// sequences of any length up to the longest, no labels, and targets without an alignment. Bits are equal for 1, 2 and 3
// threads.
#include "tensors.h"

namespace {

using namespace firesteel;
using namespace firesteel::test;

double log_add(double x, double y) {
  const double largest = fmax(x, y);
  return largest == -INFINITY ? largest : largest + log(exp(x - largest) + exp(y - largest));
}

struct Problem {
  int64_t T, N, C, S;
  bool zero_infinity;
};

// Labels of a small alphabet, so that some repeat. Lengths go down from `at most`, and one of them is 0.
struct Inputs {
  Floats log_probs;
  Tensor<int32_t> targets, steps, labels;
  explicit Inputs(const Problem& p)
      : log_probs({p.T, p.N, p.C}),
        targets({p.N, p.S}, DType::int32),
        steps({p.N}, DType::int32),
        labels({p.N}, DType::int32) {
    Numbers numbers{17};
    for (int64_t row = 0; row < p.T * p.N; row++) {
      double total = -INFINITY;
      for (int64_t c = 0; c < p.C; c++) {
        log_probs[size_t(row * p.C + c)] = float(3 * numbers.next());
        total = log_add(total, double(log_probs[size_t(row * p.C + c)]));
      }
      for (int64_t c = 0; c < p.C; c++) log_probs[size_t(row * p.C + c)] -= float(total);
    }
    const int64_t alphabet = p.C < 4 ? p.C : 4;
    for (size_t i = 0; i < size_t(p.N * p.S); i++)
      targets[i] = int32_t((numbers.next() + 1) / 2 * double(alphabet)) % int32_t(p.C);
    for (int64_t n = 0; n < p.N; n++) {
      steps[size_t(n)] = int32_t(n == 2 ? 0 : p.T - n % 3 * (p.T / 4));
      labels[size_t(n)] = int32_t(n % 3 == 2 ? 0 : p.S - n % 2);
      if (labels[size_t(n)] < 0) labels[size_t(n)] = 0;
    }
  }
};

constexpr int64_t blank = 1;

// Loss and gradient of one sequence, for a gradient of the loss of 1.
double exact_of(const Problem& p, const Inputs& in, int64_t n, std::vector<double>& gradient) {
  const int64_t T = in.steps[size_t(n)], K = in.labels[size_t(n)], L = 2 * K + 1;
  const auto label = [&](int64_t s) { return s % 2 ? int64_t(in.targets[size_t(n * p.S + s / 2)]) : blank; };
  const auto y = [&](int64_t t, int64_t c) { return double(in.log_probs[size_t((t * p.N + n) * p.C + c)]); };
  std::vector<double> alpha(size_t((T + 1) * L), -INFINITY), beta(size_t((T + 1) * L), -INFINITY);
  alpha[0] = 0;
  for (int64_t t = 0; t < T; t++)
    for (int64_t s = 0; s < L; s++) {
      double sum = alpha[size_t(t * L + s)];
      if (s > 0) sum = log_add(sum, alpha[size_t(t * L + s - 1)]);
      if (s > 1 && label(s) != label(s - 2)) sum = log_add(sum, alpha[size_t(t * L + s - 2)]);
      alpha[size_t((t + 1) * L + s)] = sum + y(t, label(s));
    }
  for (int64_t s = L < 2 ? 0 : L - 2; s < L; s++) beta[size_t(T * L + s)] = 0;
  for (int64_t t = T - 1; t > 0; t--)
    for (int64_t s = 0; s < L; s++) {
      const auto later = [&](int64_t r) { return beta[size_t((t + 1) * L + r)] + y(t, label(r)); };
      double sum = later(s);
      if (s + 1 < L) sum = log_add(sum, later(s + 1));
      if (s + 2 < L && label(s) != label(s + 2)) sum = log_add(sum, later(s + 2));
      beta[size_t(t * L + s)] = sum;
    }
  double total = alpha[size_t(T * L + L - 1)];
  if (L > 1) total = log_add(total, alpha[size_t(T * L + L - 2)]);
  for (int64_t t = 0; t < p.T; t++)
    for (int64_t c = 0; c < p.C; c++) {
      double taken = -INFINITY;
      for (int64_t s = 0; t < T && s < L; s++)
        if (label(s) == c) taken = log_add(taken, alpha[size_t((t + 1) * L + s)] + beta[size_t((t + 1) * L + s)]);
      const bool possible = total != -INFINITY;
      gradient[size_t((t * p.N + n) * p.C + c)] = t >= T            ? 0
                                                  : possible        ? exp(y(t, c)) - exp(taken - total)
                                                  : p.zero_infinity ? 0
                                                                    : double(NAN);
    }
  return total == -INFINITY && p.zero_infinity ? 0 : -total;
}

void test_case(Problem p) {
  char what[120];
  snprintf(what, sizeof what, "ctc T %lld N %lld C %lld S %lld zero %d", (long long)p.T, (long long)p.N, (long long)p.C,
           (long long)p.S, p.zero_infinity);
  Inputs in(p);
  Floats out({p.N}), alpha({p.N, p.T, 2 * p.S + 1}), dy({p.N}), dlog_probs({p.T, p.N, p.C});
  randomise(dy, 3, 1, 2);
  run<float>(what, {&out}, [&](Context& c) {
    FIRESTEEL_ISA::ctc_forward(c, out.view, alpha.view, in.log_probs.view, in.targets.view, in.steps.view,
                               in.labels.view, blank, p.zero_infinity);
  });
  run<float>(what, {&dlog_probs}, [&](Context& c) {
    FIRESTEEL_ISA::ctc_backward(c, dlog_probs.view, dy.view, alpha.view, in.log_probs.view, in.targets.view,
                                in.steps.view, in.labels.view, blank, p.zero_infinity);
  });
  std::vector<double> exact(size_t(p.T * p.N * p.C));
  bool losses_right = true, gradient_right = true;
  for (int64_t n = 0; n < p.N; n++) {
    const double loss = exact_of(p, in, n, exact);
    const double got = double(out[size_t(n)]);
    // Each step rounds numbers of the size of its summands, about 10, a few times.
    losses_right = losses_right && (got == loss || near(got, loss, epsilon * (fabs(loss) + 64.0 * double(p.T) + 8)));
    for (int64_t t = 0; t < p.T; t++)
      for (int64_t c = 0; c < p.C; c++) {
        const size_t i = size_t((t * p.N + n) * p.C + c);
        const double wanted = exact[i] * double(dy[size_t(n)]), found = double(dlog_probs[i]);
        gradient_right =
            gradient_right && ((wanted != wanted && found != found) ||
                               near(found, wanted, epsilon * 128 * double(p.T + 8) * double(dy[size_t(n)])));
      }
  }
  check(losses_right, std::string(what) + ": loss");
  check(gradient_right, std::string(what) + ": gradient");
}

// Impossible lengths and labels are reported, and take no part in any result.
void test_faults() {
  const Problem p{4, 3, 5, 2, false};
  Inputs in(p);
  Floats out({p.N}), alpha({p.N, p.T, 5}), dy({p.N}), dlog_probs({p.T, p.N, p.C});
  randomise(dy, 3);
  in.steps[0] = 5;
  in.labels[1] = 3;
  in.steps[2] = 4;
  in.labels[2] = 2;
  in.targets[5] = 5;
  const auto forward = [&](Context& c) {
    FIRESTEEL_ISA::ctc_forward(c, out.view, alpha.view, in.log_probs.view, in.targets.view, in.steps.view,
                               in.labels.view, blank, false);
  };
  const RecordedError error = error_of(forward);
  check(error.code == ErrorCode::index, "a wrong length is recorded: " + error.text);
  for (size_t n = 0; n < 3; n++) check(out[n] == 0, "a wrong sequence costs nothing");
  Context context(1);
  FIRESTEEL_ISA::ctc_backward(context, dlog_probs.view, dy.view, alpha.view, in.log_probs.view, in.targets.view,
                              in.steps.view, in.labels.view, blank, false);
  for (size_t i = 0; i < size_t(p.T * p.N * p.C); i++) check(dlog_probs[i] == 0, "and has no gradient");
  check(dlog_probs.guarded() && alpha.guarded(), "writes nothing outside");
}

}  // namespace

int main() {
  for (bool zero : {false, true})
    for (int64_t S : {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33}) {
      test_case({2 * S + 5, 7, 5, S, zero});
      test_case({S + 1, 4, 6, S, zero});  // too short if labels repeat
    }
  for (int64_t C : {2, 3, 7, 8, 9, 15, 16, 17, 33, 65}) test_case({9, 3, C, 3, false});
  for (int64_t T : {1, 2, 3}) test_case({T, 5, 4, 2, false});
  test_case({300, 3, 40, 60, false});
  test_case({1000, 2, 29, 80, false});
  test_faults();
  return finish("ctc");
}
