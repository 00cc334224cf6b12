// The queue, its threads and its memory, with the test's own kernels: order, stealing, inline calls, full queues,
// errors, failed allocations, an exhausted C++ heap, ends in the middle of a kernel, work that overtakes. It also runs
// under ThreadSanitizer. The file is over 600 lines because one producer and its kernels serve every case.
#include "../core/queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <new>
#include <thread>

namespace firesteel {
struct KernelTable {};
}  // namespace firesteel

// The C++ heap, exhausted as a test wants it. The allocation that brings `until_failure` to 0 fails, and `failures`
// allocations fail in all from then on.
static std::atomic<int64_t> until_failure{INT64_MAX};
static std::atomic<int64_t> failures{0};

static void* heap(size_t bytes) {
  if (until_failure.fetch_sub(1) <= 1 && failures.fetch_sub(1) > 0) return nullptr;
  return malloc(bytes > 0 ? bytes : 1);
}
void* operator new(size_t bytes) {
  if (void* data = heap(bytes)) return data;
  throw std::bad_alloc();
}
void* operator new[](size_t bytes) { return operator new(bytes); }
void* operator new(size_t bytes, const std::nothrow_t&) noexcept { return heap(bytes); }
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept { return heap(bytes); }
void operator delete(void* data) noexcept { free(data); }
void operator delete[](void* data) noexcept { free(data); }
void operator delete(void* data, size_t) noexcept { free(data); }
void operator delete[](void* data, size_t) noexcept { free(data); }

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

// Endless chunks, like a kernel that runs for hours. Only stop() ends it.
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

  // The next entry, a call with tensors of `elements` elements.
  Entry& fill(const KernelInfo& kernel, int32_t out, int64_t fresh_bytes, int32_t x, int64_t elements, int label) {
    Entry& entry = queue.next();
    entry.kind = Entry::Kind::call;
    Call& call = entry.call;
    call.kernel = &kernel;
    call.label = label;
    call.view_count = 2;
    call.item_count = 0;
    call.views.assign(2, {nullptr, DType::float32, 1, elements, {}, {}});
    call.places.assign(2, {.handle = out, .written = true, .byte_offset = 0, .fresh_bytes = fresh_bytes});
    call.places[1] = {.handle = x, .byte_offset = 0, .fresh_bytes = -1};
    return entry;
  }

  void call(const KernelInfo& kernel, int32_t out, int64_t fresh_bytes, int32_t x, bool small = false, int label = 0) {
    fill(kernel, out, fresh_bytes, x, small ? 16 : count, label);
    queue.submit(small);
  }

  // Submits a call of this many elements that may overtake. Returns whether it did.
  bool overtakes(const KernelInfo& kernel, int32_t out, int64_t fresh_bytes, int32_t x, int64_t elements = 16) {
    const uint64_t before = queue.submitted();
    fill(kernel, out, fresh_bytes, x, elements, 9);
    const bool idle = queue.idle();
    queue.submit(false, true);
    return !idle && queue.submitted() == before;
  }

  void release(int32_t handle) { queue.release(handle); }

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
  // More entries than the queue holds. Each output has a handle that was just freed.
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

// Files of many chunks and of none, loaded behind queued work; ends of files, wrong files, and no memory.
void test_loads(int threads) {
  FILE* file = tmpfile();
  CHECK(file != nullptr);
  constexpr size_t numbers = (size_t(5) << 20) / 4 + 3, all = numbers * 4;
  std::vector<float> source(numbers), target(numbers);
  for (size_t i = 0; i < numbers; i++) source[i] = static_cast<float>(i);
  CHECK(fwrite(source.data(), 4, numbers, file) == numbers && fflush(file) == 0);
  const int before = reads_done;
  Producer producer(threads);
  const auto load = [&](Read& read, size_t length, int from, int64_t position, int64_t fresh) {
    read.bytes = length;
    read.file = from;
    read.position = position;
    producer.queue.load(&read, fresh);
  };
  const int descriptor = fileno(file);
  Read reads[6] = {{4, 0, 0, nullptr}, {4, 8, 0, nullptr}, {4, 0, 0, nullptr},
                   {4, 0, 0, nullptr}, {4, 0, 0, nullptr}, {5, 0, 0, nullptr}};
  for (int i = 0; i < 20; i++) producer.call(increment_info, 1, i == 0 ? bytes : -1, 1);
  load(reads[0], all, descriptor, 0, all);
  producer.call(increment_info, 6, bytes, 4);
  load(reads[1], 8, descriptor, 4, -1);
  load(reads[2], 0, descriptor, 0, -1);
  load(reads[3], 8, descriptor, static_cast<int64_t>(all) - 7, -1);
  load(reads[4], 8, -1, 0, -1);
  load(reads[5], 8, descriptor, 0, int64_t(1) << 60);
  CHECK(producer.first(6) == 1);
  CHECK(reads_done == before + 6);
  for (const int i : {0, 1, 2}) CHECK(reads[i].complete && reads[i].failed == ErrorCode::none);
  for (const int i : {3, 4}) CHECK(!reads[i].complete && reads[i].failed == ErrorCode::none);
  CHECK(reads[5].failed == ErrorCode::memory);
  CHECK(producer.queue.context().take_error().code == ErrorCode::memory);
  producer.queue.read_now({4, 0, all, target.data()});
  source[2] = 1;
  source[3] = 2;
  // The load that reached the end of the file left these undefined.
  source[0] = target[0];
  source[1] = target[1];
  CHECK(target == source);
  fclose(file);
}

// Halves of several chunks, widened by all threads; a file that ends before.
void test_widening_loads(int threads) {
  FILE* file = tmpfile();
  constexpr size_t numbers = (size_t(5) << 20) / 4 + 3, all = numbers * 4;
  std::vector<uint16_t> source(numbers);
  for (size_t i = 0; i < numbers; i++) source[i] = static_cast<uint16_t>(0x3f80 + (i & 0xff));
  CHECK(file && fwrite(source.data(), 2, numbers, file) == numbers && fflush(file) == 0);
  Producer producer(threads);
  std::vector<float> target(numbers);
  for (const DType dtype : {DType::bfloat16, DType::float16}) {
    Read read = {4, 0, all, nullptr}, cut = {5, 0, all, nullptr};
    read.file = cut.file = fileno(file);
    read.dtype = cut.dtype = dtype;
    cut.position = 1;
    producer.queue.load(&read, all);
    producer.queue.load(&cut, all);
    producer.queue.finish();
    CHECK(read.complete && !cut.complete);
    producer.queue.read_now({4, 0, all, target.data()});
    size_t wrong = 0;
    for (size_t i = 0; i < numbers; i++) {
      // 0x3f80 is 1 in bfloat16, with 7 bits behind the point, and 1.875 in float16, with 10.
      const size_t low = i & 0xff;
      const float wide = low < 128 ? 1 + static_cast<float>(low) / 128 : 2 + static_cast<float>(low - 128) / 64;
      const float half = low < 128 ? 1.875f + static_cast<float>(low) / 1024 : 2 + static_cast<float>(low - 128) / 512;
      wrong += target[i] != (dtype == DType::bfloat16 ? wide : half);
    }
    CHECK(wrong == 0);
    producer.release(4);
    producer.release(5);
  }
  fclose(file);
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

  // After a failed allocation, entries that depend on it are skipped, and the others run.
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

void use_scratch(const KernelTable& table, Context& context, const Call& call) {
  for (int i = 0; i < 3; i++) memset(scratch(context, size_t(300) << (5 * i)), 0, 300);
  increment(table, context, call);
}
const KernelInfo use_scratch_info = {"use_scratch", false, 0, {}, use_scratch};

// Does everything that a queue does, small and large, at once and in line. Returns how often the producer was told of
// an exhausted heap. Nothing has happened then, and the producer goes on.
int work_of_all_kinds(Producer& producer, const std::vector<float>& source, Read& read) {
  int told = 0;
  const auto attempt = [&](const auto& step) {
    try {
      step();
    } catch (const std::bad_alloc&) {
      told++;
    }
  };
  int32_t many[12];
  for (int32_t i = 0; i < 12; i++) many[i] = 100 + 40 * i;
  attempt([&] { producer.queue.upload(0, bytes, source.data(), bytes); });
  for (int i = 0; i < 12; i++) {
    attempt(
        [&] { producer.call(i % 2 ? use_scratch_info : increment_info, many[i], bytes + 5000 * i, 0, i % 5 == 0); });
    attempt([&] { producer.queue.upload(2, i == 0 ? bytes : -1, source.data(), bytes, i % 3 != 0); });
    if (i == 6) producer.queue.finish();
  }
  attempt([&] { producer.call(increment_info, 3, bytes, many[11]); });
  Entry& entry = producer.queue.next();
  entry.kind = Entry::Kind::read;
  entry.read = &read;
  producer.queue.submit(false);
  for (int i = 0; i < 12; i += 3) producer.release(many[i]);
  producer.queue.release(many, 12);
  producer.queue.finish();
  return told;
}

// Fails each allocation of the work in turn, alone and with all that follow. Nothing hangs or ends the process, the
// caller is told, and the queue works like a new one.
void test_exhausted_heap() {
  const std::vector<float> source(count, 1);
  std::vector<float> target(count);
  Read read = {3, 0, bytes, target.data()};
  int hits = 0;
  for (const int64_t row : {int64_t(1), INT64_MAX}) {
    for (int64_t n = 1;; n++) {
      Producer producer(2);
      const int before = reads_done;
      target[count - 1] = 0;
      until_failure.store(n);
      failures.store(row);
      const int told = work_of_all_kinds(producer, source, read);
      const bool reached = failures.load() < row;
      until_failure.store(INT64_MAX);
      if (!reached) break;
      hits++;
      CHECK(reads_done == before + 1);
      const RecordedError error = producer.queue.context().take_error();
      CHECK(error.code == ErrorCode::none || error.code == ErrorCode::memory);
      CHECK(told > 0 || error.code == ErrorCode::memory || target[count - 1] == 3);
      // The queue works like a new one.
      producer.queue.upload(0, bytes, source.data(), bytes);
      producer.call(use_scratch_info, 1, bytes, 0);
      CHECK(producer.first(1) == 2);
      CHECK(producer.queue.context().take_error().code == ErrorCode::none);
      for (int32_t handle = 0; handle < 4; handle++) producer.release(handle);
      producer.queue.finish();
      CHECK(producer.queue.context().allocator.live_bytes() == 0);
    }
  }
  CHECK(hits > 20);
}

// A device whose driver has no memory for its own bookkeeping.
class PoorExecutor final : public Executor {
 public:
  void* allocate(size_t) override { return &memory_; }
  void release(void*, size_t) noexcept override {}
  void flush() override {}
  size_t live_bytes() const override { return 0; }
  size_t reserved_bytes() const override { return 0; }
  size_t available_bytes() const override { return 0; }
  void run(Context&, const Call&) override { throw std::bad_alloc(); }
  void write(Context&, void*, const void*, size_t) override { throw std::bad_alloc(); }
  bool read(Context&, void*, const void*, size_t) override { throw std::bad_alloc(); }

 private:
  char memory_ = 0;
};

void test_entries_that_throw() {
  Queue queue(
      std::make_unique<PoorExecutor>(), [](void*, Read*) { reads_done++; }, nullptr);
  const float zero[16] = {};
  float target[16];
  Read read = {0, 0, 64, target};
  for (int i = 0; i < 40; i++) {
    const int before = reads_done;
    queue.upload(0, i == 0 ? 64 : -1, zero, 64);
    Entry& entry = queue.next();
    entry.kind = Entry::Kind::read;
    entry.read = &read;
    queue.submit(i % 2 == 0);
    CHECK(queue.finish());
    CHECK(reads_done == before + 1);
    CHECK(queue.context().take_error().code == ErrorCode::memory);
  }
}

// A device that runs elsewhere. A read of at most 64 bytes begins, and ends when the test says so; a longer one waits.
class SlowExecutor final : public Executor {
 public:
  explicit SlowExecutor(int* failures) : failures_(failures) {}
  void* allocate(size_t) override { return memory_; }
  void release(void*, size_t) noexcept override {}
  void flush() override {}
  size_t live_bytes() const override { return 0; }
  size_t reserved_bytes() const override { return 0; }
  size_t available_bytes() const override { return 0; }
  void run(Context&, const Call&) override {}
  void write(Context&, void* to, const void* from, size_t bytes) override { memcpy(to, from, bytes); }
  bool read(Context&, void* to, const void* from, size_t bytes) override {
    if (std::this_thread::get_id() == producer_) ++*failures_;
    while (!released_.load()) std::this_thread::yield();
    return memcpy(to, from, bytes), true;
  }
  bool begin_read(void* to, const void* from, size_t bytes, ReadDone done, void* owner) override {
    if (bytes > 64) return false;
    threads_.emplace_back([=, this] {
      while (!released_.load()) std::this_thread::yield();
      memcpy(to, from, bytes);
      done(owner, bytes == 60 ? "on purpose" : nullptr);
    });
    return true;
  }
  void finish_reads() override {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  bool asynchronous() const override { return true; }
  void let_go() { released_.store(true); }

 private:
  int* failures_;
  const std::thread::id producer_ = std::this_thread::get_id();
  std::atomic<bool> released_{false};
  std::vector<std::thread> threads_;  // started by the producer, because here no read begins on the executor's thread
  char memory_[1024] = {};
};

// The caller of a read continues at once, whether the read begins or waits, and learns which reads failed.
void test_reads_elsewhere() {
  int failures = 0;
  auto made = std::make_unique<SlowExecutor>(&failures);
  SlowExecutor& executor = *made;
  Queue queue(
      std::move(made), [](void*, Read*) { reads_done++; }, nullptr);
  const std::vector<char> source(1024, 7);
  queue.upload(0, 1024, source.data(), 1024);
  std::vector<char> target(1024);
  Read reads[] = {{0, 0, 64, &target[0]}, {0, 0, 60, &target[64]}, {0, 0, 0, &target[128]}, {0, 0, 800, &target[128]}};
  const int before = reads_done;
  CHECK(queue.idle() && !queue.settled());
  for (Read& read : reads) {
    Entry& entry = queue.next();
    entry.kind = Entry::Kind::read;
    entry.read = &read;
    queue.submit(false);
  }
  CHECK(reads_done == before && target[0] == 0);
  executor.let_go();
  while (reads_done < before + 4) std::this_thread::yield();
  CHECK(queue.finish());
  queue.stop();
  CHECK(failures == 0 && target[0] == 7 && target[63] == 7 && target[128] == 7);
  CHECK(reads[0].failed == ErrorCode::none && reads[1].failed == ErrorCode::internal);
  CHECK(reads[2].failed == ErrorCode::none && reads[3].failed == ErrorCode::none);
  const RecordedError error = queue.context().take_error();
  CHECK(error.text == "on purpose" && error.op == "read");
}

// Holds the executor until the test releases it.
std::atomic<bool> gate_is_open{false};
void wait_at_the_gate(const KernelTable& table, Context& context, const Call& call) {
  while (!gate_is_open.load()) std::this_thread::yield();
  increment(table, context, call);
}
const KernelInfo gate_info = {"gate", false, 0, {}, wait_at_the_gate};

// A queue whose executor waits in a kernel that reads storage 0 and writes storage 1, of 16 elements.
struct BusyProducer : Producer {
  BusyProducer() : Producer(2) {
    gate_is_open.store(false);
    const float zero[16] = {};
    queue.upload(0, 64, zero, 64);
    wait(gate_info, 1, 64, 0);
  }
  // Calls in order.
  void wait(const KernelInfo& kernel, int32_t out, int64_t fresh_bytes, int32_t x) {
    fill(kernel, out, fresh_bytes, x, 16, 0);
    queue.submit(false);
  }
  float early(int32_t handle) {
    float value = -1;
    return queue.read_early({handle, 0, sizeof value, &value}) ? value : -1;
  }
};

void test_overtakes() {
  BusyProducer producer;
  Queue& queue = producer.queue;
  const float seven[16] = {7};
  queue.upload(2, 64, seven, 64);
  CHECK(producer.overtakes(increment_info, 3, 64, 2) && producer.overtakes(increment_info, 4, 64, 3));
  CHECK(producer.early(2) == 7 && producer.early(3) == 8 && producer.early(4) == 9);
  // Memory that the running entry only reads may be read, but not written. Memory that it writes may be neither.
  CHECK(producer.overtakes(increment_info, 5, 64, 0) && producer.early(5) == 1);
  CHECK(producer.early(0) == -1);
  CHECK(!producer.overtakes(increment_info, 0, -1, 2));
  CHECK(!producer.overtakes(increment_info, 6, 64, 1));
  CHECK(!producer.overtakes(increment_info, 7, 64, 0));  // a waiting entry writes storage 0
  // Memory made before its turn can be written before its turn until a waiting entry reads it.
  CHECK(producer.overtakes(increment_info, 3, -1, 4) && producer.early(3) == 10);
  CHECK(!producer.overtakes(increment_info, 8, 64, 6));
  producer.wait(increment_info, 9, 64, 3);
  CHECK(!producer.overtakes(increment_info, 3, -1, 4));
  CHECK(producer.early(3) == -1);
  // Its memory stays until that entry has run, even if its handle is used again.
  producer.release(4);
  CHECK(producer.overtakes(increment_info, 4, 64, 2) && producer.early(4) == 8);
  const int32_t both[] = {3, 4};
  queue.release(both, 2);
  CHECK(producer.overtakes(increment_info, 3, 64, 5) && producer.early(3) == 2);
  // Errors are recorded in the queue.
  CHECK(producer.overtakes(complain_info, 10, 64, 2));
  const RecordedError error = queue.context().take_error();
  CHECK(error.code == ErrorCode::index && error.op == "complain" && error.label == 9);
  CHECK(producer.overtakes(scratch_info, 11, 64, 2));
  CHECK(queue.context().take_error().op == "need_scratch");
  CHECK(queue.live_bytes() > queue.executor().live_bytes());
  gate_is_open.store(true);
  CHECK(producer.first(1) == 1 && producer.first(0) == 8 && producer.first(6) == 2 && producer.first(7) == 9);
  CHECK(producer.first(8) == 3 && producer.first(9) == 11 && producer.first(3) == 2);
  CHECK(queue.context().take_error().code == ErrorCode::none);
  for (int32_t handle = 0; handle < 12; handle++)
    if (handle != 4) producer.release(handle);
  CHECK(queue.finish() && queue.live_bytes() == 0);
  queue.flush();
  CHECK(queue.reserved_bytes() == 0);
}

// A file is loaded into memory that was made before its turn. Work that reads that memory waits for the load.
void test_load_where_work_overtakes() {
  FILE* file = tmpfile();
  const float five[16] = {5}, seven[16] = {7};
  CHECK(file && fwrite(five, sizeof five, 1, file) == 1 && fflush(file) == 0);
  BusyProducer producer;
  Queue& queue = producer.queue;
  queue.upload(2, 64, seven, 64);
  CHECK(producer.early(2) == 7);
  Read load = {2, 0, 64, nullptr};
  load.file = fileno(file);
  queue.load(&load, -1);
  CHECK(producer.early(2) == -1);
  CHECK(!producer.overtakes(increment_info, 3, 64, 2));
  gate_is_open.store(true);
  CHECK(producer.first(3) == 6 && producer.first(2) == 5 && load.complete);
  fclose(file);
}

// Limits on the memory that is held, and on the work of a call.
void test_limits_of_overtaking() {
  BusyProducer producer;
  Queue& queue = producer.queue;
  const std::vector<char> zeros(Overtaking::most_uploaded + 1);
  const uint64_t before = queue.submitted();
  queue.upload(2, Overtaking::most_uploaded, zeros.data(), Overtaking::most_uploaded);
  CHECK(queue.submitted() == before);
  queue.upload(3, Overtaking::most_uploaded + 1, zeros.data(), Overtaking::most_uploaded + 1);
  CHECK(queue.submitted() == before + 1);
  constexpr int64_t rest = Overtaking::most_bytes - Overtaking::most_uploaded;
  CHECK(!producer.overtakes(increment_info, 4, rest + 1, 2));
  CHECK(producer.overtakes(increment_info, 5, rest, 2));
  CHECK(!producer.overtakes(increment_info, 6, 64, 2));
  producer.release(5);
  constexpr auto storages = static_cast<int32_t>(Overtaking::most_storages);
  queue.reserve(2 * storages);
  for (int32_t i = 1; i < storages; i++) CHECK(producer.overtakes(increment_info, 6 + i, 4, 2, 1));
  CHECK(!producer.overtakes(increment_info, 6 + storages, 4, 2, 1));
  producer.release(7);
  CHECK(producer.overtakes(increment_info, 7, 4, 2, 1));
  gate_is_open.store(true);
  queue.finish();

  Call call;
  call.view_count = 3;
  const auto brief = [&](bool heavy, int64_t a, int64_t b, int64_t c) {
    const KernelInfo info = {"any", heavy, 0, {}, increment};
    call.kernel = &info;
    call.places.assign(3, {.handle = 1, .byte_offset = 0, .fresh_bytes = -1});
    call.places[0].written = true;
    call.views.assign(3, {nullptr, DType::float32, 1, a, {}, {}});
    call.views[1].count = b;
    call.views[2].count = c;
    return is_brief(call);
  };
  constexpr int64_t elements = 1 << 20;
  CHECK(brief(false, elements - 2, 1, 1) && !brief(false, elements - 1, 1, 1) && !brief(false, INT64_MAX, 1, 1));
  CHECK(!brief(false, INT64_MAX, INT64_MAX, INT64_MAX));
  // Products of 2048 x 32 by 32 x 64, and by 32 x 65.
  CHECK(brief(true, 2048 * 64, 2048 * 32, 32 * 64) && !brief(true, 2048 * 65, 2048 * 32, 32 * 65));
  CHECK(brief(false, 2048 * 65, 2048 * 32, 32 * 65));
  call.view_count = 1;  // nothing is read
  CHECK(!is_brief(call));
}

// Any program gives the results that it gives in order, whichever of its calls overtake. Each storage holds one number
// throughout.
void test_any_order() {
  constexpr int32_t storages = 24;
  constexpr size_t most = 20000;
  int overtaken = 0;
  uint32_t state = 1;
  const auto random = [&](uint32_t below) { return (state = state * 1664525 + 1013904223) / 65536 % below; };
  for (int round = 0; round < 5; round++) {
    Producer producer(2);
    float expected[storages];
    size_t sizes[storages] = {};  // 0: the storage is not alive
    std::vector<float> data(most);
    const auto check = [&](int32_t handle) {
      std::vector<float> read(sizes[handle], -1);
      producer.queue.finish();
      producer.queue.read_now({handle, 0, sizes[handle] * 4, read.data()});
      for (const float value : read) CHECK(value == expected[handle]);
    };
    for (int step = 0; step < 1500; step++) {
      const auto to = static_cast<int32_t>(random(storages)), from = static_cast<int32_t>(random(storages));
      const uint32_t kind = random(16);
      if (kind == 0 && sizes[to] > 0) {
        producer.release(to);
        sizes[to] = 0;
      } else if (kind == 1 && sizes[to] == 0) {
        sizes[to] = random(2) ? 500 : most;
        expected[to] = static_cast<float>(random(1000));
        std::fill(data.begin(), data.end(), expected[to]);
        producer.queue.upload(to, static_cast<int64_t>(sizes[to] * 4), data.data(), sizes[to] * 4);
      } else if (kind == 2 && random(8) == 0 && sizes[to] > 0) {
        check(to);
      } else if (kind > 2 && sizes[from] > 0 && (sizes[to] == 0 || sizes[to] == sizes[from])) {
        const auto elements = static_cast<int64_t>(sizes[from]), fresh = sizes[to] == 0 ? 4 * elements : -1;
        if (random(3) == 0) {
          overtaken += producer.overtakes(increment_info, to, fresh, from, elements);
        } else {
          producer.fill(increment_info, to, fresh, from, elements, 0);
          producer.queue.submit(false);
        }
        sizes[to] = sizes[from];
        expected[to] = expected[from] + 1;
      }
    }
    for (int32_t handle = 0; handle < storages; handle++)
      if (sizes[handle] > 0) check(handle);
    for (int32_t handle = 0; handle < storages; handle++)
      if (sizes[handle] > 0) producer.release(handle);
    producer.queue.finish();
    CHECK(producer.queue.live_bytes() == 0);
  }
  CHECK(overtaken > 100);
}

}  // namespace

int main() {
  for (const int threads : {1, 2, 4}) test_order(threads);
  test_reads_and_uploads();
  for (const int threads : {1, 3}) test_loads(threads);
  for (const int threads : {1, 3}) test_widening_loads(threads);
  test_errors();
  test_memory_returns();
  test_threads_change();
  test_stop_in_a_kernel();
  test_exhausted_heap();
  test_entries_that_throw();
  test_reads_elsewhere();
  test_overtakes();
  test_load_where_work_overtakes();
  test_limits_of_overtaking();
  test_any_order();
  puts("queue: ok");
}
