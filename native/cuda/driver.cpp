#include "driver.h"

#include <stdlib.h>

#include "../core/dynamic_library.h"

namespace firesteel::cuda {
namespace {

// Kernels are compiled by CUDA 13, whose code needs a driver of at least that version (R580).
constexpr int oldest_version = 13000;

#if defined(_WIN32)
#define FIRESTEEL_DRIVER "nvcuda.dll"
#else
#define FIRESTEEL_DRIVER "libcuda.so.1"
#endif

std::string version_text(int version) {
  return std::to_string(version / 1000) + '.' + std::to_string(version % 1000 / 10);
}

Driver open() {
  Driver driver;
  const char* named = getenv("FIRESTEEL_CUDA_DRIVER");
  if (named && !*named) named = nullptr;
  std::string reason;
  const DynamicLibrary library(named ? named : FIRESTEEL_DRIVER, &reason);
  if (!library) {
    driver.why =
        named ? "FIRESTEEL_CUDA_DRIVER: " + reason : "there is no NVIDIA driver (" FIRESTEEL_DRIVER " was not found)";
    return driver;
  }
#define X(name, ...)                                              \
  driver.name = library.find<Status (*)(__VA_ARGS__)>(#name);     \
  if (!driver.name) {                                             \
    driver.why = "the NVIDIA driver is too old: it lacks " #name; \
    return driver;                                                \
  }
  FIRESTEEL_CUDA_FUNCTIONS(X)
#undef X
  if (driver.cuDriverGetVersion(&driver.version) == Status::success && driver.version < oldest_version) {
    driver.why = "the NVIDIA driver is too old: it supports CUDA " + version_text(driver.version) + ", and CUDA " +
                 version_text(oldest_version) + " (driver 580 or later) is needed";
    return driver;
  }
  const Status status = driver.cuInit(0);
  if (status != Status::success) {
    driver.why =
        status == Status::no_device ? driver.found() : driver.error("the NVIDIA driver does not start", status);
    return driver;
  }
  if (driver.cuDeviceGetCount(&driver.device_count) != Status::success) driver.device_count = 0;
  if (driver.device_count == 0) driver.why = driver.found();
  return driver;
}

// The setting that hides GPUs from the driver, as the end of a sentence about those that it finds; empty if there is
// none.
std::string hidden_by() {
  const char* visible = getenv("CUDA_VISIBLE_DEVICES");
  return visible ? std::string(" among those that CUDA_VISIBLE_DEVICES names ('") + visible + "')" : "";
}

}  // namespace

std::string Driver::found() const {
  return "the NVIDIA driver finds " + (device_count == 0 ? "no GPU" : std::to_string(device_count)) + hidden_by();
}

std::string Driver::error(const char* what, Status status) const {
  const char* text = nullptr;
  if (cuGetErrorString(status, &text) != Status::success || !text) text = "unknown error";
  return std::string(what) + ": " + text + " (" + std::to_string(static_cast<int>(status)) + ")";
}

const Driver& driver() {
  static const Driver* opened = new Driver(open());
  return *opened;
}

}  // namespace firesteel::cuda
