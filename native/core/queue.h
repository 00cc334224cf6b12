// A device's queue: one producer and one executor thread, which runs entries in order.
//
// The ring of entries has one writer of `head_` (the producer) and, at any time, one writer of `tail_`: the holder of
// `run_mutex_`, the executor, or the producer when finish() runs the remaining entries itself. Only the producer
// submits. So when it finds the queue empty, nobody else touches the storages, the allocator or the threads, and it may
// run a small entry at once. Allocation and release are entries too, which makes reuse of memory safe without locks.
// Brief work that depends on no waiting entry may overtake them all: see overtaking.h.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "call.h"
#include "context.h"
#include "executor.h"
#include "overtaking.h"
#include "storage.h"

namespace firesteel {

class Queue;

struct Read {
  int32_t handle;
  size_t byte_offset, bytes;
  void* to;
  void* known = nullptr;   // the memory, if the producer knows it: see overtaking.h
  Queue* queue = nullptr;  // set once the read has begun
  ErrorCode failed = ErrorCode::none;
  // A load goes the other way, from a file into the storage.
  int file = -1;
  int64_t position = 0;          // in the file
  DType dtype = DType::float32;  // bfloat16 or float16: the elements of the file, which become float32
  bool complete = false;         // whether the file had all bytes
};

struct Entry {
  enum class Kind : uint8_t { call, release, upload, read, load };
  Kind kind;
  Call call;
  // release: the handles to release, or `handle` alone if there are none.
  std::vector<int32_t> released;
  // upload: `staged` is copied into the storage from byte_offset on. load: `read` describes the file and the
  // destination. The entry makes the storage with fresh_bytes, unless that is -1.
  int32_t handle;
  int64_t fresh_bytes;
  size_t byte_offset;
  std::unique_ptr<char[]> staged;
  size_t staged_bytes;
  Read* read;
};

class Queue {
 public:
  static constexpr uint64_t capacity = 1024;
  // The bytes of uploads that may wait in the queue. The producer waits if there are more.
  static constexpr size_t staged_limit = size_t(256) << 20;

  // Any thread calls `read_done` after each read entry, and stop() calls it for those that never ran. It must not
  // throw.
  Queue(const KernelTable& table, int threads, void (*read_done)(void* owner, Read* read), void* owner);
  // The queue of a device other than the CPU.
  Queue(std::unique_ptr<Executor> executor, void (*read_done)(void* owner, Read* read), void* owner);
  ~Queue() { stop(); }
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  // An exhausted C++ heap is an error of the entry that needed it, and is recorded in the context. Nothing is thrown on
  // the executor's thread, and the producer's functions throw std::bad_alloc only before they have changed anything.

  // Only the producer's thread may call the rest.

  // Allows handles below `capacity`; at the beginning, below 1024.
  void reserve(size_t capacity) {
    storages_.reserve(capacity);
    early_.reserve(capacity);
  }
  // The entry to fill and submit next; waits while the queue is full.
  Entry& next();
  // Runs the entry at once if the queue is empty and the entry is small, or if the device only starts it and runs it
  // elsewhere. Otherwise hands it to the executor. Never waits for running work. A brief call that `may_overtake` also
  // runs at once while other entries wait, unless it depends on them.
  void submit(bool small, bool may_overtake = false);
  bool idle() const { return tail_.load(std::memory_order_acquire) == head_.load(std::memory_order_relaxed); }
  // Whether nothing waits and nothing runs, here or elsewhere, so that a read can copy at once.
  bool settled() const { return idle() && !executor_->asynchronous(); }
  // Copies the result of work that has overtaken the queue, at once. Returns false, having done nothing, for other
  // memory.
  bool read_early(const Read& read);
  // Waits until all entries have run, and runs those that the executor has not begun. Returns false if `goes_on` said
  // no before that. Some entries may then still have to run, and the queue must be stopped.
  bool finish();
  // Sets `goes_on(owner)`, which is called between entries while the producer waits for them. Another thread may end an
  // environment, and that takes effect only when this thread returns.
  void ask(bool (*goes_on)(void* owner)) { goes_on_ = goes_on; }
  // Frees storages, in order.
  void release(int32_t handle) noexcept;
  void release(const int32_t* handles, size_t count) noexcept;
  // Copies `bytes` bytes into a storage, in order; the source may change afterwards. A copy of the bytes waits in the
  // queue. If it may not wait, the queued entries run now.
  void upload(int32_t handle, int64_t fresh_bytes, const void* source, size_t bytes, bool may_wait = true,
              size_t byte_offset = 0);
  // Reads while the queue is idle. Returns the failure, which is recorded too. A storage without memory gives zeros.
  ErrorCode read_now(Read read);
  // Submits `read` as a load, which runs in order and calls `read_done` as a read does. The file must stay open until
  // then.
  void load(Read* read, int64_t fresh_bytes);
  // Abandons everything that has not run, including the running kernel, and ends all threads.
  void stop();

  size_t live_bytes() const { return executor_->live_bytes() + early_.live_bytes(); }
  size_t reserved_bytes() const { return executor_->reserved_bytes() + early_.reserved_bytes(); }
  // Returns unused memory to the system, after finish().
  void flush();

  // Runs what is queued, on this thread or after waiting for the other. Work that the executor has only started may
  // still run. False if the queue is stopping.
  bool drain();

  Context& context() { return context_; }
  Executor& executor() { return *executor_; }
  uint64_t submitted() const { return head_.load(std::memory_order_relaxed); }

 private:
  void work();
  std::unique_ptr<char[]> stage(const void* source, size_t bytes);
  void run(Entry& entry) noexcept;
  template <class F>
  static void guard(Context& context, const F& body) noexcept;
  bool begin(Read& read) noexcept;
  static void read_ended(void* read, const char* error);
  void run_call(Call& call);
  void run_kernel(Context& context, const Call& call);
  ErrorCode run_read(const Read& read);
  void* memory_of(const Read& read);
  uint64_t done() const { return tail_.load(std::memory_order_acquire); }
  template <class Visit>
  static void visit(Call& call, const Visit& visit);
  bool overtake(Call& call);
  void* upload_early(int32_t handle, int64_t fresh_bytes);
  void resolve(Entry& entry);
  void note(const Entry& entry, uint64_t number);
  bool place(View* views, const Place* places, int64_t count);
  void run_upload(int32_t handle, int64_t fresh_bytes, size_t byte_offset, const void* source, size_t bytes);
  void run_load(Read& read, int64_t fresh_bytes);
  void* make(int32_t handle, int64_t bytes);
  void step(uint64_t tail);
  void wait_for_room(uint64_t head);

  Context context_;
  std::unique_ptr<Executor> executor_;
  StorageTable storages_;
  Overtaking early_;
  void (*read_done_)(void* owner, Read* read);
  void* owner_;
  bool (*goes_on_)(void* owner) = nullptr;

  std::unique_ptr<Entry[]> entries_{new Entry[capacity]};
  alignas(64) std::atomic<uint64_t> head_{0};
  alignas(64) std::atomic<uint64_t> tail_{0};
  alignas(64) std::atomic<bool> sleeping_{false};
  std::atomic<bool> taken_{false};  // the producer wants to run the remaining entries
  std::atomic<bool> producer_waits_{false};
  std::atomic<uint64_t> awaited_tail_{0};
  std::atomic<size_t> staged_{0};
  std::mutex run_mutex_;
  std::mutex mutex_;
  std::condition_variable wake_, advanced_;
  std::thread thread_;
};

}  // namespace firesteel
