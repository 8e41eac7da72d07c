// Loaded before a program (LD_PRELOAD): a seeded regression of its speed. Every parallel region,
// of which a network pass has several, sleeps first; what is computed stays the same.
#include <chrono>
#include <thread>

#include <dlfcn.h>

extern "C" void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags) {
  using Function = void (*)(void (*)(void*), void*, unsigned, unsigned);
  static const auto next = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "GOMP_parallel"));
  std::this_thread::sleep_for(std::chrono::milliseconds(4));
  next(body, data, threads, flags);
}
