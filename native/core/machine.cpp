#include "machine.h"

#include <stdio.h>
#if defined(_WIN32)
#define NOMINMAX
#include <windows.h>
#else
#include <sched.h>
#endif

#include <algorithm>
#include <bit>
#include <thread>

namespace firesteel {
namespace {

constexpr int max_threads = 256;

#if defined(_WIN32)
int cgroup_cores() { return 0; }
#else
// The number of cores that a quota of `quota` microseconds per `period` amounts to, rounded up; 0 if there is no quota.
int quota_cores(double quota, double period) {
  if (quota <= 0 || period <= 0) return 0;
  const double cores = quota / period;
  return cores >= max_threads ? max_threads : static_cast<int>(cores) + (cores > static_cast<int>(cores) ? 1 : 0);
}

bool read_number(const char* path, double* value) {
  FILE* file = fopen(path, "r");
  if (!file) return false;
  const bool found = fscanf(file, "%lf", value) == 1;
  fclose(file);
  return found;
}

int cgroup_cores() {
  if (FILE* file = fopen("/sys/fs/cgroup/cpu.max", "r")) {  // version 2: "max 100000" or "150000 100000"
    double quota = 0, period = 0;
    const bool limited = fscanf(file, "%lf %lf", &quota, &period) == 2;
    fclose(file);
    return limited ? quota_cores(quota, period) : 0;
  }
  double quota = 0, period = 0;
  if (!read_number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", &quota)) return 0;
  if (!read_number("/sys/fs/cgroup/cpu/cpu.cfs_period_us", &period)) return 0;
  return quota_cores(quota, period);
}
#endif

}  // namespace

int usable_cores() {
  int cores = static_cast<int>(std::thread::hardware_concurrency());
#if defined(_WIN32)
  // The masks are 0 where the process has threads in several groups of 64 cores.
  DWORD_PTR own = 0, all = 0;
  if (GetProcessAffinityMask(GetCurrentProcess(), &own, &all) && own != 0) cores = std::popcount(own);
#elif defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) cores = CPU_COUNT(&set);
#endif
  if (const int limit = cgroup_cores(); limit > 0) cores = std::min(cores, limit);
  return std::clamp(cores, 1, max_threads);
}

}  // namespace firesteel
