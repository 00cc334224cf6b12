#include "queue.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <new>

#include "machine.h"
#include "memory.h"

namespace firesteel {
namespace {

// Copies of uploads that may wait without a check of the remaining memory: half of the least reserve.
constexpr size_t small_staged = size_t(8) << 20;

// What a thread reads of a file at a time: a huge page, because the system fills it with zeros when it is first
// touched, and the bytes of the file find it in the cache then.
constexpr size_t load_chunk = size_t(2) << 20;

struct LoadJob {
  int file;
  int64_t position;
  char* to;
  size_t bytes;
  std::atomic<bool> complete{true};
};

void load_part(void* data, int64_t chunk) {
  LoadJob& job = *static_cast<LoadJob*>(data);
  size_t at = static_cast<size_t>(chunk) * load_chunk;
  const size_t end = std::min(job.bytes, at + load_chunk);
  while (at < end) {
    const ssize_t count = pread(job.file, job.to + at, end - at, job.position + static_cast<int64_t>(at));
    if (count > 0)
      at += static_cast<size_t>(count);
    else if (count == 0 || errno != EINTR)
      return job.complete.store(false);
  }
}

// About 10 microseconds; see pool.cpp.
constexpr int spins = 400;

}  // namespace

Queue::Queue(const KernelTable& table, int threads, void (*read_done)(void* owner, Read* read), void* owner)
    : context_(threads),
      executor_(new CpuExecutor(table, context_.allocator)),
      storages_(*executor_),
      read_done_(read_done),
      owner_(owner) {
  thread_ = std::thread([this] { work(); });
}

Queue::Queue(std::unique_ptr<Executor> executor, void (*read_done)(void* owner, Read* read), void* owner)
    : context_(1), executor_(std::move(executor)), storages_(*executor_), read_done_(read_done), owner_(owner) {
  thread_ = std::thread([this] { work(); });
}

void Queue::stop() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    context_.stop.store(true);
  }
  wake_.notify_all();
  thread_.join();
  executor_->finish_reads();
  for (uint64_t i = tail_.load(); i != head_.load(); i++)
    if (Entry& entry = entries_[i % capacity]; entry.kind == Entry::Kind::read || entry.kind == Entry::Kind::load)
      read_done_(owner_, entry.read);
}

void Queue::work() {
  const auto ready = [this] { return !taken_.load() && head_.load() != tail_.load(); };
  while (!context_.stop.load()) {
    bool found = false;
    for (int i = 0; i < spins && !(found = ready()); i++) spin_pause();
    if (!found) {
      std::unique_lock<std::mutex> lock(mutex_);
      sleeping_.store(true);
      wake_.wait(lock, [&] { return context_.stop.load() || ready(); });
      sleeping_.store(false);
      continue;
    }
    std::lock_guard<std::mutex> lock(run_mutex_);
    context_.pool.expect_more(true);
    for (;;) {
      const uint64_t tail = tail_.load(std::memory_order_relaxed);
      if (tail == head_.load(std::memory_order_acquire) || taken_.load() || context_.stop.load()) break;
      step(tail);
    }
    context_.pool.expect_more(false);
  }
}

// Runs the entry at `tail`, and wakes a producer that waits for room.
void Queue::step(uint64_t tail) {
  run(entries_[tail % capacity]);
  tail_.store(tail + 1);
  if (producer_waits_.load() && tail + 1 >= awaited_tail_.load()) {
    { std::lock_guard<std::mutex> lock(mutex_); }
    advanced_.notify_one();
  }
}

Entry& Queue::next() {
  const uint64_t head = head_.load(std::memory_order_relaxed);
  if (head - tail_.load(std::memory_order_acquire) >= capacity) wait_for_room(head);
  return entries_[head % capacity];
}

// Waits until the queue is half empty, so that the producer is not woken for every entry. If entries take long, it
// waits until some time has passed and there is any room, so that JavaScript goes on and a worker can be terminated.
void Queue::wait_for_room(uint64_t head) {
  const uint64_t target = head - capacity / 2;
  awaited_tail_.store(target);
  producer_waits_.store(true);
  {
    std::unique_lock<std::mutex> lock(mutex_);
    do {
      advanced_.wait_for(lock, std::chrono::milliseconds(10), [&] { return tail_.load() >= target; });
    } while (head - tail_.load() >= capacity);
  }
  producer_waits_.store(false);
}

void Queue::submit(bool small) {
  const uint64_t head = head_.load(std::memory_order_relaxed);
  Entry& entry = entries_[head % capacity];
  if (idle()) {
    if (small || (executor_->asynchronous() && entry.kind != Entry::Kind::read)) return run(entry);
    // A read that cannot begin without waiting is left to the executor thread.
    if (entry.kind == Entry::Kind::read && begin(*entry.read)) return;
  }
  head_.store(head + 1);
  if (sleeping_.load()) {
    { std::lock_guard<std::mutex> lock(mutex_); }
    wake_.notify_one();
  }
}

bool Queue::finish() {
  if (!drain()) return false;
  executor_->finish(context_);
  return true;
}

bool Queue::drain() {
  if (idle()) return true;
  bool goes_on = true;
  taken_.store(true);
  {
    std::lock_guard<std::mutex> lock(run_mutex_);
    context_.pool.expect_more(true);
    for (uint64_t tail;
         goes_on && (tail = tail_.load(std::memory_order_relaxed)) != head_.load(std::memory_order_relaxed);) {
      step(tail);
      goes_on = !goes_on_ || goes_on_(owner_);
    }
    context_.pool.expect_more(false);
  }
  taken_.store(false);
  return goes_on;
}

void Queue::release(int32_t handle) noexcept {
  Entry& entry = next();
  entry.kind = Entry::Kind::release;
  entry.released.clear();
  entry.handle = handle;
  submit(true);
}

void Queue::release(const int32_t* handles, size_t count) noexcept {
  Entry& entry = next();
  try {
    entry.released.assign(handles, handles + count);
  } catch (const std::bad_alloc&) {
    for (size_t i = 0; i < count; i++) release(handles[i]);
    return;
  }
  entry.kind = Entry::Kind::release;
  submit(true);
}

// A copy of the source; null if there is no memory for one. The copy exists while earlier entries still hold memory
// that will be free by its turn, so the remaining memory is checked now, and counts as taken until the copy is made.
std::unique_ptr<char[]> Queue::stage(const void* source, size_t bytes) {
  const size_t staged = staged_.load();
  if (bytes > staged_limit || staged > staged_limit - bytes) return nullptr;
  Commitments& commitments = Commitments::of_process();
  const bool large = staged + bytes > small_staged;
  if (large && !commitments.reserve(bytes)) return nullptr;
  std::unique_ptr<char[]> copy(new (std::nothrow) char[bytes]);
  if (copy) memcpy(copy.get(), source, bytes);
  if (large) commitments.withdraw(bytes);
  return copy;
}

void Queue::upload(int32_t handle, int64_t fresh_bytes, const void* source, size_t bytes, bool may_wait,
                   size_t byte_offset) {
  std::unique_ptr<char[]> staged;
  if (may_wait && !idle()) staged = stage(source, bytes);
  if (!staged) {
    if (drain()) run_upload(handle, fresh_bytes, byte_offset, source, bytes);
    return;
  }
  staged_.fetch_add(bytes);
  Entry& entry = next();
  entry.kind = Entry::Kind::upload;
  entry.handle = handle;
  entry.fresh_bytes = fresh_bytes;
  entry.byte_offset = byte_offset;
  entry.staged = std::move(staged);
  entry.staged_bytes = bytes;
  submit(false);
}

void Queue::load(Read* read, int64_t fresh_bytes) {
  Entry& entry = next();
  entry.kind = Entry::Kind::load;
  entry.fresh_bytes = fresh_bytes;
  entry.read = read;
  submit(false);
}

// An executor without memory for its bookkeeping throws. That becomes an error of the entry, because it must neither
// leave the queue in half of a state nor end the process.
template <class F>
void Queue::guard(const F& body) noexcept {
  try {
    body();
  } catch (const KernelAbandoned&) {
    context_.in_parallel = false;
  } catch (const std::bad_alloc&) {
    context_.in_parallel = false;
    context_.record(ErrorCode::memory, "no memory for the bookkeeping of the device's queue");
  }
}

void Queue::run(Entry& entry) noexcept {
  switch (entry.kind) {
    case Entry::Kind::call:
      run_call(entry.call);
      break;
    case Entry::Kind::release:
      if (entry.released.empty()) storages_.release(entry.handle);
      for (const int32_t handle : entry.released) storages_.release(handle);
      break;
    case Entry::Kind::upload:
      run_upload(entry.handle, entry.fresh_bytes, entry.byte_offset, entry.staged.get(), entry.staged_bytes);
      entry.staged.reset();
      staged_.fetch_sub(entry.staged_bytes);
      break;
    case Entry::Kind::read:
      if (begin(*entry.read)) break;
      entry.read->failed = read_now(*entry.read);
      read_done_(owner_, entry.read);
      break;
    case Entry::Kind::load:
      run_load(*entry.read, entry.fresh_bytes);
      read_done_(owner_, entry.read);
      break;
  }
}

bool Queue::begin(Read& read) noexcept {
  const void* data = storages_.find(read.handle);
  if (!data) return false;
  read.queue = this;
  return executor_->begin_read(read.to, static_cast<const char*>(data) + read.byte_offset, read.bytes, read_ended,
                               &read);
}

void Queue::read_ended(void* ended, const char* error) {
  Read* read = static_cast<Read*>(ended);
  Queue* queue = read->queue;
  if (error) {
    read->failed = ErrorCode::internal;
    queue->context_.record_of("read", 0, ErrorCode::internal, error);
  }
  queue->read_done_(queue->owner_, read);
}

void Queue::run_call(Call& call) {
  context_.op = call.kernel->name;
  context_.label = call.label;
  const bool views = place(call.views.data(), call.places.data(), call.view_count);
  const bool items = place(call.items.data(), call.item_places.data(), call.item_count);
  if (!views || !items) return;  // the allocation that failed has recorded it
  guard([&] { executor_->run(context_, call); });
  context_.release_scratch();
}

bool Queue::place(View* views, const Place* places, int64_t count) {
  bool complete = true;
  for (int64_t i = 0; i < count; i++) {
    const Place& place = places[i];
    if (place.handle < 0) continue;
    void* data = place.fresh_bytes >= 0 ? make(place.handle, place.fresh_bytes) : storages_.find(place.handle);
    complete &= data != nullptr;
    views[i].data = static_cast<char*>(data) + place.byte_offset;
  }
  return complete;
}

void* Queue::make(int32_t handle, int64_t bytes) {
  void* data = nullptr;
  try {
    data = storages_.allocate(handle, static_cast<size_t>(bytes));
  } catch (const std::bad_alloc&) {
  }
  if (data) return data;
  if (const char* failure = executor_->allocation_failure())
    record_error(context_, ErrorCode::internal, "%s", failure);
  else
    record_error(context_, ErrorCode::memory, "no memory for a tensor of %lld bytes beside %zu bytes in use",
                 static_cast<long long>(bytes), executor_->live_bytes());
  return data;
}

void Queue::run_upload(int32_t handle, int64_t fresh_bytes, size_t byte_offset, const void* source, size_t bytes) {
  context_.op = "upload";
  context_.label = 0;
  void* data = fresh_bytes >= 0 ? make(handle, fresh_bytes) : storages_.find(handle);
  if (data) guard([&] { executor_->write(context_, static_cast<char*>(data) + byte_offset, source, bytes); });
}

// The memory of the CPU, because no other executor's can be read into.
void Queue::run_load(Read& read, int64_t fresh_bytes) {
  context_.op = "load";
  context_.label = 0;
  void* data = fresh_bytes >= 0 ? make(read.handle, fresh_bytes) : storages_.find(read.handle);
  if (!data) {
    read.failed = ErrorCode::memory;
    return;
  }
  LoadJob job = {read.file, read.position, static_cast<char*>(data) + read.byte_offset, read.bytes};
  const size_t chunks = (read.bytes + load_chunk - 1) / load_chunk;
  context_.pool.run(static_cast<int64_t>(chunks), load_part, &job, context_.stop);
  read.complete = job.complete.load() && !context_.stop.load();
}

ErrorCode Queue::read_now(const Read& read) {
  context_.op = "read";
  context_.label = 0;
  if (const void* data = storages_.find(read.handle)) {
    const char* from = static_cast<const char*>(data) + read.byte_offset;
    bool complete = false;
    guard([&] { complete = executor_->read(context_, read.to, from, read.bytes); });
    return complete ? ErrorCode::none : ErrorCode::internal;
  }
  memset(read.to, 0, read.bytes);
  record_error(context_, ErrorCode::memory, "the tensor has no memory: its allocation failed before");
  return ErrorCode::memory;
}

}  // namespace firesteel
