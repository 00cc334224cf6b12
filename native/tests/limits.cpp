// The remaining memory, read from files in the kernel's format: both versions of control groups, enclosing groups, and
// namespaces.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "../core/allocator.h"
#include "../core/memory.h"

using firesteel::Allocator;
using firesteel::Commitments;
using firesteel::MemoryLimits;

#define CHECK(condition)                                              \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                        \
    }                                                                 \
  } while (0)

namespace {

constexpr size_t megabyte = size_t(1) << 20, gigabyte = size_t(1) << 30;

// A folder that stands for the root of the file system. It has 64 GB of memory, of which 50 are available.
class Root {
 public:
  Root() : path_(std::filesystem::temp_directory_path() / ("firesteel-limits-" + std::to_string(getpid()))) {
    write("proc/meminfo", "MemTotal:       67108864 kB\nMemFree:  1 kB\nMemAvailable:   52428800 kB\n");
  }
  ~Root() { std::filesystem::remove_all(path_); }
  void write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name) << text;
  }
  void write(const std::string& name, size_t number) const { write(name, std::to_string(number) + "\n"); }
  std::string path() const { return path_.string(); }
  size_t left(double share = 0) const { return MemoryLimits(path()).available(share); }

 private:
  std::filesystem::path path_;
};

const char* const unified =
    "24 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
const char* const legacy =
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n";
constexpr const char* no_limit = "9223372036854771712\n";

void test_machine() {
  const Root root;
  CHECK(root.left() == 50 * gigabyte);
  // The reserve of a large machine is 512 MB.
  CHECK(root.left(1) == 50 * gigabyte - 512 * megabyte && root.left(0.5) == 50 * gigabyte - 256 * megabyte);
  const Root other;
  std::filesystem::remove_all(std::filesystem::temp_directory_path() /
                              ("firesteel-limits-" + std::to_string(getpid())));
  CHECK(other.left() == MemoryLimits::unknown);
}

void test_version_two() {
  const Root root;
  root.write("proc/self/mountinfo", unified);
  root.write("proc/self/cgroup", "0::/shop.slice/web.service/worker\n");
  const std::string shop = "sys/fs/cgroup/shop.slice", web = shop + "/web.service", worker = web + "/worker";
  for (const std::string& group : {shop, web, worker}) {
    root.write(group + "/memory.max", "max\n");
    root.write(group + "/memory.high", "max\n");
    root.write(group + "/memory.current", gigabyte);
    root.write(group + "/memory.stat", "anon 5\nfile 7\ninactive_file 0\n");
  }
  CHECK(root.left() == 50 * gigabyte);
  // The group's own limit is "max", so the next one above it limits.
  root.write(shop + "/memory.max", 8 * gigabyte);
  CHECK(root.left() == 7 * gigabyte);
  root.write(shop + "/memory.stat", "anon 5\ninactive_file " + std::to_string(gigabyte / 2) + "\n");
  CHECK(root.left() == 7 * gigabyte + gigabyte / 2);
  CHECK(root.left(1) == 7 * gigabyte + gigabyte / 2 - 256 * megabyte);
  root.write(web + "/memory.high", 4 * gigabyte);
  CHECK(root.left() == 3 * gigabyte);
  root.write(worker + "/memory.max", 2 * gigabyte);
  CHECK(root.left() == gigabyte);
  root.write(worker + "/memory.current", 3 * gigabyte);
  CHECK(root.left() == 0);
}

void test_namespace_of_version_two() {
  const Root root;
  root.write("proc/self/mountinfo", unified);
  root.write("proc/self/cgroup", "0::/\n");
  root.write("sys/fs/cgroup/memory.max", gigabyte);
  root.write("sys/fs/cgroup/memory.current", 256 * megabyte);
  CHECK(root.left() == 768 * megabyte);
  // The mount shows a namespace's root, but the path belongs to another namespace.
  root.write("proc/self/cgroup", "0::/../other\n");
  CHECK(root.left() == 768 * megabyte);
}

void test_version_one() {
  const Root root;
  root.write("proc/self/mountinfo", legacy);
  root.write("proc/self/cgroup", "5:cpu:/elsewhere\n4:memory:/docker/abc\n0::/\n");
  const std::string top = "sys/fs/cgroup/memory", docker = top + "/docker", abc = docker + "/abc";
  for (const std::string& group : {top, docker, abc}) {
    root.write(group + "/memory.limit_in_bytes", no_limit);
    root.write(group + "/memory.usage_in_bytes", gigabyte);
    root.write(group + "/memory.stat", std::string("inactive_file 999999999\nhierarchical_memory_limit ") + no_limit +
                                           "total_inactive_file 0\n");
  }
  CHECK(root.left() == 50 * gigabyte);
  root.write(docker + "/memory.limit_in_bytes", 6 * gigabyte);
  CHECK(root.left() == 5 * gigabyte);
  root.write(abc + "/memory.limit_in_bytes", 3 * gigabyte);
  CHECK(root.left() == 2 * gigabyte);
  root.write(abc + "/memory.stat", "total_inactive_file " + std::to_string(megabyte) + "\n");
  CHECK(root.left() == 2 * gigabyte + megabyte);
}

// A container sees its own group in the place of the hierarchy's root, but the path is the host's.
void test_container_of_version_one() {
  const Root root;
  root.write("proc/self/mountinfo", "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
  root.write("proc/self/cgroup", "4:memory:/docker/abc\n");
  const std::string own = "sys/fs/cgroup/memory";
  root.write(own + "/memory.limit_in_bytes", no_limit);
  root.write(own + "/memory.usage_in_bytes", gigabyte);
  CHECK(root.left() == 50 * gigabyte);
  // The limit of an enclosing group that cannot be seen.
  root.write(own + "/memory.stat", "hierarchical_memory_limit " + std::to_string(4 * gigabyte) + "\n");
  CHECK(root.left() == 3 * gigabyte);
  root.write("proc/self/cgroup", "4:memory:/docker/abc/inner\n");
  root.write(own + "/inner/memory.limit_in_bytes", 2 * gigabyte);
  root.write(own + "/inner/memory.usage_in_bytes", gigabyte / 2);
  CHECK(root.left() == gigabyte + gigabyte / 2);
}

// Memory that was handed out counts until it is touched. So does memory that was granted to others or is announced
// elsewhere.
void test_untouched_memory_is_taken() {
  constexpr size_t bytes = 64 * megabyte, all = 50 * gigabyte;
  const Root root;
  Commitments commitments(root.path());
  Allocator first, second;
  commitments.enter(first);
  commitments.enter(second);
  // The surplus of a grant over the request depends on this machine's remaining memory.
  const auto left_for = [&](size_t untouched) {
    return first.untouched_bytes() == untouched &&
           commitments.left(0) == all - untouched - first.granted_bytes() - second.granted_bytes();
  };
  CHECK(left_for(0));
  char* const data = static_cast<char*>(first.allocate(bytes));
  CHECK(left_for(bytes));
  for (size_t i = 0; i < bytes / 2; i += 4096) data[i] = 1;
  CHECK(left_for(bytes / 2));
  for (size_t i = 0; i < bytes; i += 4096) data[i] = 1;
  CHECK(left_for(0));
  first.release(data, bytes);
  first.flush();
  CHECK(first.allocate(bytes) == data && left_for(bytes));

  // A grant exceeds the request a little, and its untaken part is not granted again.
  const uint32_t epoch = commitments.epoch();
  const size_t granted = commitments.grant(second, 0, bytes);
  CHECK(granted >= bytes && granted <= 2 * bytes);
  CHECK(commitments.grant(second, 0, all) == 0);
  const size_t before = commitments.left(0);
  commitments.announce(gigabyte);
  CHECK(commitments.left(0) == before - gigabyte && commitments.epoch() != epoch);
  commitments.withdraw(gigabyte);
  CHECK(commitments.left(0) == before);
  commitments.leave(first);
  CHECK(commitments.left(0) == all);
}

void test_an_allocator_asks() {
  constexpr size_t bytes = 64 * megabyte;
  Allocator allocator;
  CHECK(allocator.allocate(bytes) != nullptr);
  const firesteel::Announcement announcement(size_t(1) << 60);
  // Nothing is left, so earlier grants are void, but reserved memory can still be used.
  CHECK(allocator.allocate(bytes) == nullptr && allocator.allocate(4 * bytes) == nullptr);
  CHECK(allocator.reserved_bytes() == bytes && allocator.live_bytes() == bytes);
}

}  // namespace

int main() {
  test_machine();
  test_version_two();
  test_namespace_of_version_two();
  test_version_one();
  test_container_of_version_one();
  test_untouched_memory_is_taken();
  test_an_allocator_asks();
  puts("limits: ok");
}
