// The mask of the steps that count in each sequence, against the definition: lengths from 1 to all steps, and lengths
// that are invalid.
#include "arrays.h"

namespace {

using namespace firesteel;
using namespace firesteel::test;
namespace isa = FIRESTEEL_ISA;

void test_lengths() {
  for (int64_t T : {1, 2, 7, 33})
    for (int64_t B : {0, 1, 2, 16, 17, 67}) {
      Array lengths({B}, DType::int32), out({T, B}, DType::boolean);
      for (int64_t b = 0; b < B; b++) lengths.set(b, double(1 + (b * 5) % T));
      const std::string what = "sequence_mask of " + text({T, B});
      run(what, out, [&](Context& c) { isa::sequence_mask(c, out.view, lengths.view); });
      check_equal(what, out, [&](int64_t i) { return i / B < int64_t(lengths.get(i % B)); });
    }
}

void test_refusals() {
  Array out({4, 3}, DType::boolean);
  for (double wrong : {0.0, -1.0, 5.0}) {
    Array lengths({3}, DType::int32);
    lengths.set(0, 4), lengths.set(1, wrong), lengths.set(2, 1);
    const auto error = error_of([&](Context& c) { isa::sequence_mask(c, out.view, lengths.view); });
    check(error.code == ErrorCode::value, "sequence_mask does not tell a length of " + std::to_string(wrong));
  }
  for (const Sizes& sizes : {Sizes{2}, Sizes{4}, Sizes{3, 1}}) {
    Array lengths(sizes, DType::int32);
    check_refused("lengths " + text(sizes), out, [&](Context& c) { isa::sequence_mask(c, out.view, lengths.view); });
  }
}

}  // namespace

int main() {
  test_lengths();
  test_refusals();
  return finish("sequence_mask");
}
