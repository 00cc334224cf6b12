// The queue, its threads and its memory, with kernels of its own: order, stealing, inline calls, full queues, errors,
// failed allocations, ends in the middle of a kernel. Runs under ThreadSanitizer.
#include "../core/queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <chrono>

namespace firesteel {
struct KernelTable {};
}  // namespace firesteel

using namespace firesteel;

#define CHECK(condition)                                              \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                        \
    }                                                                 \
  } while (0)

namespace {

constexpr int64_t count = 1 << 15;

// out = x + 1, in parallel chunks
void increment(const KernelTable&, Context& context, const Call& call) {
  float* out = pointer<float>(call.views[0]);
  const float* x = pointer<float>(call.views[1]);
  const int64_t chunk = 1 << 12;
  parallel(context, (call.views[0].count + chunk - 1) / chunk, [&](int64_t c) {
    for (int64_t i = c * chunk; i < (c + 1) * chunk && i < call.views[0].count; i++) out[i] = x[i] + 1;
  });
}

void need_scratch(const KernelTable&, Context& context, const Call& call) {
  memset(scratch(context, 1000), 0, 1000);
  scratch(context, size_t(1) << 60);
  *pointer<float>(call.views[0]) = -1;  // never reached
}

void complain(const KernelTable&, Context& context, const Call& call) {
  parallel(context, 64, [&](int64_t c) {
    record_error(context, ErrorCode::index, "chunk %lld of call %d", static_cast<long long>(c), call.label);
  });
}

// Chunks without end, as a kernel of hours: only stop() gets out of it.
void endless(const KernelTable&, Context& context, const Call&) {
  parallel(context, INT64_MAX, [](int64_t) { std::this_thread::yield(); });
}

const KernelInfo increment_info = {"increment", false, 0, {}, increment};
const KernelInfo scratch_info = {"need_scratch", false, 0, {}, need_scratch};
const KernelInfo complain_info = {"complain", false, 0, {}, complain};
const KernelInfo endless_info = {"endless", false, 0, {}, endless};

const KernelTable no_kernels{};
std::atomic<int> reads_done{0};

class Producer {
 public:
  explicit Producer(int threads)
      : queue(
            no_kernels, threads, [](void*, Read*) { reads_done++; }, nullptr) {}

  void call(const KernelInfo& kernel, int32_t out, int64_t fresh_bytes, int32_t x, bool small = false, int label = 0) {
    Entry& entry = queue.next();
    entry.kind = Entry::Kind::call;
    Call& call = entry.call;
    call.kernel = &kernel;
    call.label = label;
    call.view_count = 2;
    call.item_count = 0;
    call.views.resize(2);
    call.places.resize(2);
    for (View& view : call.views) view = {nullptr, DType::float32, 1, small ? 16 : count, {}, {}};
    call.places[0] = {out, 0, fresh_bytes};
    call.places[1] = {x, 0, -1};
    queue.submit(small);
  }

  void release(int32_t handle) {
    Entry& entry = queue.next();
    entry.kind = Entry::Kind::release;
    entry.released.assign(1, handle);
    queue.submit(true);
  }

  float first(int32_t handle) {
    float value;
    queue.finish();
    queue.read_now({handle, 0, sizeof value, &value});
    return value;
  }

  Queue queue;
};

constexpr int64_t bytes = count * 4;

void test_order(int threads) {
  Producer producer(threads);
  const std::vector<float> zeros(count);
  producer.queue.upload(0, bytes, zeros.data(), bytes);
  // More entries than the queue holds, each output under a handle that was freed just before.
  for (int i = 0; i < 3000; i++) {
    producer.call(increment_info, 1 + i % 2, bytes, i == 0 ? 0 : 1 + (i + 1) % 2, i % 7 == 0);
    if (i > 0) producer.release(1 + (i + 1) % 2);
    if (i % 500 == 0) CHECK(producer.first(1 + i % 2) == static_cast<float>(i + 1));
  }
  CHECK(producer.first(2) == 3000);
}

void test_reads_and_uploads() {
  Producer producer(3);
  std::vector<float> source(count, 1), target(count);
  Read read = {5, 0, bytes, target.data()};
  for (int i = 0; i < 50; i++) {
    for (float& value : source) value = static_cast<float>(i);
    producer.queue.upload(4, i == 0 ? bytes : -1, source.data(), bytes);
    producer.call(increment_info, 5, i == 0 ? bytes : -1, 4);
    Entry& entry = producer.queue.next();
    entry.kind = Entry::Kind::read;
    entry.read = &read;
    producer.queue.submit(false);
  }
  producer.queue.finish();
  CHECK(reads_done == 50);
  CHECK(target[0] == 50 && target[count - 1] == 50);
}

void test_errors() {
  Producer producer(4);
  int32_t status = 0;
  producer.queue.context().status = &status;
  const float zero[16] = {};
  producer.queue.upload(0, 64, zero, 64);
  producer.call(complain_info, 1, 64, 0, false, 7);
  producer.call(complain_info, 1, -1, 0, false, 8);
  producer.queue.finish();
  CHECK(status == static_cast<int32_t>(ErrorCode::index));
  RecordedError error = producer.queue.context().take_error();
  CHECK(error.op == "complain" && error.label == 7 && error.text.find("of call 7") != std::string::npos);
  CHECK(status == 0 && producer.queue.context().take_error().code == ErrorCode::none);

  // A failed allocation: what depends on it is skipped, the rest runs.
  producer.call(increment_info, 2, int64_t(1) << 60, 0, true);
  producer.call(increment_info, 3, 64, 2, true);
  producer.call(increment_info, 4, 64, 0, true);
  CHECK(producer.first(4) == 1);
  error = producer.queue.context().take_error();
  CHECK(error.code == ErrorCode::memory && error.op == "increment");
  CHECK(producer.first(2) == 0);
  CHECK(producer.queue.context().take_error().code == ErrorCode::memory);

  producer.call(scratch_info, 5, 64, 0, true);
  producer.call(increment_info, 6, 64, 0, true);
  CHECK(producer.first(6) == 1);
  CHECK(producer.queue.context().take_error().op == "need_scratch");
}

void test_memory_returns() {
  Producer producer(2);
  const float zero[16] = {};
  producer.queue.upload(0, 64, zero, 64);
  for (int i = 0; i < 200; i++) {
    producer.call(increment_info, 1, bytes * (1 + i % 5), 0, true);
    producer.release(1);
  }
  producer.release(0);
  producer.queue.finish();
  Allocator& allocator = producer.queue.context().allocator;
  CHECK(allocator.live_bytes() == 0);
  allocator.flush();
  CHECK(allocator.reserved_bytes() == 0);
}

void test_threads_change() {
  Producer producer(1);
  const std::vector<float> zeros(count);
  producer.queue.upload(0, bytes, zeros.data(), bytes);
  for (int threads = 1; threads <= 6; threads++) {
    producer.queue.finish();
    producer.queue.context().pool.resize(threads);
    for (int i = 0; i < 20; i++) producer.call(increment_info, threads, i == 0 ? bytes : -1, 0);
    CHECK(producer.first(threads) == 1);
  }
}

void test_stop_in_a_kernel() {
  for (int round = 0; round < 5; round++) {
    Producer producer(3);
    const float zero[16] = {};
    producer.queue.upload(0, 64, zero, 64);
    for (int i = 0; i < 20; i++) producer.call(endless_info, 1, i == 0 ? 64 : -1, 0);
    std::this_thread::sleep_for(std::chrono::milliseconds(2 * round));
    producer.queue.stop();
  }
}

}  // namespace

int main() {
  for (const int threads : {1, 2, 4}) test_order(threads);
  test_reads_and_uploads();
  test_errors();
  test_memory_returns();
  test_threads_change();
  test_stop_in_a_kernel();
  puts("queue: ok");
}
