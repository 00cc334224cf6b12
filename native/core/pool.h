// A pool of threads that share the chunks of one kernel, which they claim one by one.
//
// The calling thread takes part. A job is published by making `epoch_` odd and withdrawn by making it even. A worker
// first announces itself in `active_` and then checks whether a job is open; the caller first closes the job and then
// waits for `active_` to reach 0. So a worker that wakes late finds the job closed or the caller waiting, never half of
// a job. Between jobs workers spin for some microseconds, or longer if the caller expects more jobs, and then sleep.
// They are started by the first job that can use them.
#pragma once
#include <stdint.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace firesteel {

class ThreadPool {
 public:
  using Body = void (*)(void* data, int64_t chunk);

  explicit ThreadPool(int threads) : threads_(threads) {}
  ~ThreadPool() { join(); }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }
  // Must not be called while a job runs.
  void resize(int threads);
  // Tells whether more jobs are expected soon, because waking a sleeping worker takes longer than many kernels run.
  void expect_more(bool more) { more_.store(more, std::memory_order_relaxed); }
  // Runs body(data, chunk) for every chunk in [0, chunks), or for fewer once `stop` is set. One job at a time.
  void run(int64_t chunks, Body body, void* data, const std::atomic<bool>& stop);

 private:
  void start();
  void join();
  void work();
  void take_chunks();
  void wait_for_workers();

  int threads_;
  std::vector<std::thread> workers_;

  Body body_ = nullptr;
  void* data_ = nullptr;
  int64_t chunks_ = 0;
  const std::atomic<bool>* stop_ = nullptr;

  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) std::atomic<uint64_t> epoch_{0};  // odd: a job is open
  alignas(64) std::atomic<int> active_{0};
  std::atomic<int> sleeping_{0};
  std::atomic<bool> caller_waits_{false};
  std::atomic<bool> leave_{false};
  std::atomic<bool> more_{false};
  std::mutex mutex_;
  std::condition_variable wake_, done_;
};

}  // namespace firesteel
