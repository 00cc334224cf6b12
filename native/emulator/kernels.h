// The kernels of the library by name, and the way from the driver's untyped arguments to a call.
#pragma once
#include <stddef.h>

#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <utility>

namespace emulator {

// A call whose arguments were copied when the launch was submitted. It runs later, once in every thread.
using BoundKernel = std::function<void()>;
using Kernel = std::function<BoundKernel(void** arguments)>;

std::map<std::string, Kernel>& kernels();

struct Registration {
  template <class... P>
  Registration(const char* name, void (*kernel)(P...)) {
    kernels()[name] = [kernel](void** arguments) { return bind(kernel, arguments, std::index_sequence_for<P...>()); };
  }

 private:
  template <class... P, size_t... I>
  static BoundKernel bind(void (*kernel)(P...), void** arguments, std::index_sequence<I...>) {
    std::tuple<std::decay_t<P>...> copy(*static_cast<std::decay_t<P>*>(arguments[I])...);
    return [kernel, copy] { std::apply(kernel, copy); };
  }
};

}  // namespace emulator
