#include "peak.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "allocator.h"
#include "machine.h"

namespace firesteel {
namespace {

using Clock = std::chrono::steady_clock;

// The length of a window. It is long compared with the start of threads, and short compared with the interruptions of a
// busy machine.
constexpr double window_seconds = 1e-3;
// Rounds of arithmetic between readings of the clock, before their rate is known.
constexpr int64_t first_rounds = 1000;
constexpr int64_t granule = 128;  // floats
constexpr size_t largest_working_set = size_t(1) << 34;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// A barrier that spins, because waking a sleeping thread would be part of the measurement.
class Barrier {
 public:
  explicit Barrier(int threads) : threads_(threads) {}
  void wait() {
    const int64_t ticket = arrived_.fetch_add(1, std::memory_order_acq_rel);
    const int64_t all = (ticket / threads_ + 1) * threads_;
    for (int spins = 0; arrived_.load(std::memory_order_acquire) < all; spins++) {
      if (spins < 10000)
        spin_pause();
      else
        std::this_thread::yield();  // more threads than cores
    }
  }

 private:
  const int64_t threads_;
  std::atomic<int64_t> arrived_{0};
};

// Returns the best rate of `body(thread, repeats)`. Each repeat is `amount` of work for the whole team.
// `prepare(thread)` runs once on each thread.
template <class Prepare, class Body>
double best_rate(int threads, double seconds, double amount, int64_t repeats, const Prepare& prepare,
                 const Body& body) {
  Barrier barrier(threads);
  std::atomic<bool> done{false};
  double best = 0;
  const auto help = [&](int thread) {
    prepare(thread);
    for (barrier.wait(); !done.load(std::memory_order_acquire); barrier.wait()) {
      body(thread, repeats);
      barrier.wait();
    }
  };
  std::vector<std::thread> team;
  for (int thread = 1; thread < threads; thread++) team.emplace_back(help, thread);
  prepare(0);
  Clock::time_point until{};
  do {
    barrier.wait();
    const Clock::time_point start = Clock::now();
    body(0, repeats);
    barrier.wait();
    const double taken = seconds_since(start);
    // The first window warms up, and tells how many repeats the others need.
    if (until == Clock::time_point{}) {
      until = start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(taken + seconds));
      repeats = std::max<int64_t>(1, int64_t(double(repeats) * window_seconds / std::max(taken, 1e-9)));
    } else {
      best = std::max(best, amount * double(repeats) / taken);
    }
  } while (Clock::now() < until || best == 0);
  done.store(true, std::memory_order_release);
  barrier.wait();
  for (std::thread& thread : team) thread.join();
  return best;
}

}  // namespace

double multiply_add_peak(const PeakLoops::Arithmetic& loop, int threads, double seconds) {
  if (!loop.run || (loop.present && !loop.present())) return 0;
  return best_rate(
      threads, seconds, double(loop.operations) * threads, first_rounds, [](int) {},
      [&](int, int64_t rounds) { loop.run(rounds); });
}

double bandwidth(const PeakLoops& loops, Traffic traffic, int64_t bytes, int threads, double seconds) {
  const int buffers = traffic == Traffic::read ? 1 : 2;
  // Floats per thread in each buffer.
  const int64_t own =
      std::max<int64_t>(1, bytes / int64_t(sizeof(float)) / (int64_t(threads) * buffers * granule)) * granule;
  const size_t buffer_bytes = size_t(own) * size_t(threads) * sizeof(float);
  if (buffer_bytes > largest_working_set) return 0;
  Allocator allocator;
  float* memory[2] = {};
  for (int i = 0; i < buffers; i++) memory[i] = static_cast<float*>(allocator.allocate(buffer_bytes));
  double best = 0;
  if (memory[0] && (buffers == 1 || memory[1])) {
    const auto touch = [&](int thread) {
      for (int i = 0; i < buffers; i++) std::fill_n(memory[i] + own * thread, own, 1.0f);
    };
    const auto measure = [&](const auto& pass) {
      const auto body = [&](int thread, int64_t repeats) {
        for (int64_t i = 0; i < repeats; i++) pass(own * thread);
      };
      best = std::max(best, best_rate(threads, seconds / buffers, double(buffer_bytes) * buffers, 1, touch, body));
    };
    if (traffic == Traffic::read) {
      measure([&](int64_t at) { loops.read(memory[0] + at, own); });
    } else {
      measure([&](int64_t at) { loops.copy(memory[1] + at, memory[0] + at, own); });
      measure([&](int64_t at) { loops.copy_past_caches(memory[1] + at, memory[0] + at, own); });
    }
  }
  for (float* block : memory)
    if (block) allocator.release(block, buffer_bytes);
  return best;
}

}  // namespace firesteel
