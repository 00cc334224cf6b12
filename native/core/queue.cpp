#include "queue.h"

#include <string.h>

#include <algorithm>
#include <chrono>
#include <new>

#include "file.h"
#include "machine.h"
#include "memory.h"
#include "widen.h"

namespace firesteel {
namespace {

// Bytes of copied uploads that may wait before the remaining memory is checked: half of the least reserve.
constexpr size_t small_staged = size_t(8) << 20;

// The bytes of memory that a thread fills from a file at a time, which are a huge page. The system fills a page with
// zeros when it is first touched, and the file's bytes then meet it in the cache.
constexpr size_t load_chunk = size_t(2) << 20;

struct LoadJob {
  int file;
  int64_t position;
  char* to;
  size_t bytes;  // of memory
  DType dtype;   // float32 if the file's bytes are those of the memory
  std::atomic<bool> complete{true};
};

void load_part(void* data, int64_t chunk) {
  LoadJob& job = *static_cast<LoadJob*>(data);
  const size_t at = static_cast<size_t>(chunk) * load_chunk;
  const size_t bytes = std::min(job.bytes - at, load_chunk);
  char* const to = job.to + at;
  const bool complete = is_widened(job.dtype)
                            ? read_widened(job.file, job.position + static_cast<int64_t>(at / 2),
                                           reinterpret_cast<float*>(to), bytes / sizeof(float), job.dtype)
                            : read_file(job.file, job.position + static_cast<int64_t>(at), to, bytes);
  if (!complete) job.complete.store(false);
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
  reserve(1024);
  thread_ = std::thread([this] { work(); });
}

Queue::Queue(std::unique_ptr<Executor> executor, void (*read_done)(void* owner, Read* read), void* owner)
    : context_(1), executor_(std::move(executor)), storages_(*executor_), read_done_(read_done), owner_(owner) {
  reserve(1024);
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

void Queue::submit(bool small, bool may_overtake) {
  const uint64_t head = head_.load(std::memory_order_relaxed);
  Entry& entry = entries_[head % capacity];
  const bool free = idle();
  if (may_overtake && !free && !executor_->asynchronous() && overtake(entry.call)) return;
  if (early_.holds()) resolve(entry);
  if (free) {
    if (small || (executor_->asynchronous() && entry.kind != Entry::Kind::read)) return run(entry);
    // A read that cannot begin at once is left to the executor thread.
    if (entry.kind == Entry::Kind::read && begin(*entry.read)) return;
  }
  if (!executor_->asynchronous()) note(entry, head + 1);
  head_.store(head + 1);
  if (sleeping_.load()) {
    { std::lock_guard<std::mutex> lock(mutex_); }
    wake_.notify_one();
  }
}

template <class Visit>
void Queue::visit(Call& call, const Visit& visit) {
  for (size_t i = 0; i < static_cast<size_t>(call.view_count); i++) visit(call.views[i], call.places[i]);
  for (size_t i = 0; i < static_cast<size_t>(call.item_count); i++) visit(call.items[i], call.item_places[i]);
}

// Fills in the memory that the producer knows, in an entry's places.
void Queue::resolve(Entry& entry) {
  if (entry.kind == Entry::Kind::read || entry.kind == Entry::Kind::load) {
    entry.read->known = early_[entry.read->handle].data;
  } else if (entry.kind == Entry::Kind::call) {
    visit(entry.call, [this](View& view, Place& place) {
      if (place.handle < 0) return;
      char* data = static_cast<char*>(early_[place.handle].data);
      if (data) view.data = data + place.byte_offset;
      place.early = data != nullptr;
    });
  }
}

// Notes which memory the entry with this number touches.
void Queue::note(const Entry& entry, uint64_t number) {
  if (entry.kind == Entry::Kind::call) {
    visit(const_cast<Call&>(entry.call), [&](View&, Place& place) {
      if (place.handle >= 0) early_.note(place.handle, place.written, number);
    });
  } else if (entry.kind == Entry::Kind::read) {
    early_.note(entry.read->handle, false, number);
  } else if (entry.kind == Entry::Kind::load) {
    early_.note(entry.read->handle, true, number);
  } else if (entry.kind == Entry::Kind::upload) {
    early_.note(entry.handle, true, number);
  }
}

// Runs the call before the waiting entries. Returns false, having done nothing, if it may not.
bool Queue::overtake(Call& call) {
  if (!is_brief(call)) return false;
  const uint64_t done = this->done();
  bool ready = true;
  visit(call, [&](View&, Place& place) {
    ready = ready && (place.handle < 0 || place.fresh_bytes >= 0 || early_.is_ready(place.handle, place.written, done));
  });
  Context* const context = ready ? early_.open(context_) : nullptr;
  if (!context) return false;
  visit(call, [&](View& view, Place& place) {
    if (place.handle < 0 || !ready) return;
    void* data = place.fresh_bytes >= 0 ? early_.take(place.handle, static_cast<size_t>(place.fresh_bytes), done)
                                        : early_[place.handle].data;
    if (!data && place.fresh_bytes < 0) data = storages_.find(place.handle);
    ready = data != nullptr;
    view.data = static_cast<char*>(data) + place.byte_offset;
    place.early = ready;
  });
  if (ready) {
    context->op = call.kernel->name;
    context->label = call.label;
    run_kernel(*context, call);
  } else {
    visit(call, [&](View&, Place& place) {
      if (place.handle >= 0 && place.fresh_bytes >= 0 && place.early) early_.release(place.handle, done);
      place.early = false;
    });
  }
  return ready;
}

bool Queue::finish() {
  if (!drain()) return false;
  executor_->finish(context_);
  if (early_.holds()) early_.collect(done());
  return true;
}

void Queue::flush() {
  executor_->flush();
  early_.flush();
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
  if (early_[handle].data) return early_.release(handle, done());
  Entry& entry = next();
  entry.kind = Entry::Kind::release;
  entry.released.clear();
  entry.handle = handle;
  submit(true);
}

void Queue::release(const int32_t* handles, size_t count) noexcept {
  Entry& entry = next();
  try {
    entry.released.reserve(count);
    entry.released.clear();
    for (size_t i = 0; i < count; i++) {
      if (!early_[handles[i]].data)
        entry.released.push_back(handles[i]);
      else
        early_.release(handles[i], done());
    }
    if (entry.released.empty()) return;
  } catch (const std::bad_alloc&) {
    for (size_t i = 0; i < count; i++) release(handles[i]);
    return;
  }
  entry.kind = Entry::Kind::release;
  submit(true);
}

// A copy of the source, or null if there is no memory for one. The copy exists while earlier entries still hold memory
// that will be free by its turn. So the remaining memory is checked now, and the copy counts as taken from now on.
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

// Memory for a small upload that need not wait; null if the upload must wait.
void* Queue::upload_early(int32_t handle, int64_t fresh_bytes) {
  if (fresh_bytes < 0) {
    if (void* data = early_[handle].data) {
      if (early_[handle].touched > done()) drain();
      return data;
    }
    return nullptr;
  }
  if (fresh_bytes > static_cast<int64_t>(Overtaking::most_uploaded)) return nullptr;
  if (idle() || executor_->asynchronous() || !early_.open(context_)) return nullptr;
  return early_.take(handle, static_cast<size_t>(fresh_bytes), done());
}

void Queue::upload(int32_t handle, int64_t fresh_bytes, const void* source, size_t bytes, bool may_wait,
                   size_t byte_offset) {
  if (void* data = upload_early(handle, fresh_bytes)) {
    if (bytes > 0) memcpy(static_cast<char*>(data) + byte_offset, source, bytes);
    return;
  }
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

// A lack of memory for the bookkeeping becomes an error of the entry, because the executor must neither leave the queue
// half changed nor end the process.
template <class F>
void Queue::guard(Context& context, const F& body) noexcept {
  try {
    body();
  } catch (const KernelAbandoned&) {
    context.in_parallel = false;
  } catch (const std::bad_alloc&) {
    context.in_parallel = false;
    context.record(ErrorCode::memory, "no memory for the bookkeeping of the device's queue");
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
      entry.read->failed = run_read(*entry.read);
      read_done_(owner_, entry.read);
      break;
    case Entry::Kind::load:
      run_load(*entry.read, entry.fresh_bytes);
      read_done_(owner_, entry.read);
      break;
  }
}

bool Queue::begin(Read& read) noexcept {
  const void* data = memory_of(read);
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
  if (views && items) run_kernel(context_, call);  // otherwise the failed allocation has recorded the error
}

void Queue::run_kernel(Context& context, const Call& call) {
  guard(context, [&] { executor_->run(context, call); });
  context.release_scratch();
}

bool Queue::place(View* views, const Place* places, int64_t count) {
  bool complete = true;
  for (int64_t i = 0; i < count; i++) {
    const Place& place = places[i];
    if (place.handle < 0 || place.early) continue;
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
  if (data) guard(context_, [&] { executor_->write(context_, static_cast<char*>(data) + byte_offset, source, bytes); });
}

// The memory of the CPU. No other executor's memory can be read into.
void Queue::run_load(Read& read, int64_t fresh_bytes) {
  context_.op = "load";
  context_.label = 0;
  void* data = fresh_bytes >= 0 ? make(read.handle, fresh_bytes) : memory_of(read);
  if (!data) {
    read.failed = ErrorCode::memory;
    return;
  }
  LoadJob job = {read.file, read.position, static_cast<char*>(data) + read.byte_offset, read.bytes, read.dtype};
  const size_t chunks = (read.bytes + load_chunk - 1) / load_chunk;
  context_.pool.run(static_cast<int64_t>(chunks), load_part, &job, context_.stop);
  read.complete = job.complete.load() && !context_.stop.load();
}

void* Queue::memory_of(const Read& read) { return read.known ? read.known : storages_.find(read.handle); }

bool Queue::read_early(const Read& read) {
  const Overtaking::Row& row = early_[read.handle];
  if (!row.data || row.written > done()) return false;
  if (read.bytes > 0) memcpy(read.to, static_cast<const char*>(row.data) + read.byte_offset, read.bytes);
  return true;
}

ErrorCode Queue::read_now(Read read) {
  read.known = early_[read.handle].data;
  return run_read(read);
}

ErrorCode Queue::run_read(const Read& read) {
  context_.op = "read";
  context_.label = 0;
  if (const void* data = memory_of(read)) {
    const char* from = static_cast<const char*>(data) + read.byte_offset;
    bool complete = false;
    guard(context_, [&] { complete = executor_->read(context_, read.to, from, read.bytes); });
    return complete ? ErrorCode::none : ErrorCode::internal;
  }
  memset(read.to, 0, read.bytes);
  record_error(context_, ErrorCode::memory, "the tensor has no memory: its allocation failed before");
  return ErrorCode::memory;
}

}  // namespace firesteel
