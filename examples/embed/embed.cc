// embed.cc - call a compiled network from C++, two threads with an arena
// each.
//
//   tamis build ../fashion/fashion.tam -o libfashion.so
//   c++ embed.cc -I. libfashion.so -Wl,-rpath,. -pthread -o embed && ./embed
#include "fashion.h"

#include <array>
#include <cstdio>
#include <memory>
#include <new>
#include <thread>

namespace {

struct Aligned {
  alignas(FASHION_ALIGN) unsigned char bytes[FASHION_ARENA_BYTES];
};

class Net {
 public:
  Net() : arena_(new Aligned) {}
  int operator()(const std::array<float, 784> &x, std::array<float, 10> &p) {
    return fashion_run(x.data(), p.data(), arena_->bytes);
  }

 private:
  std::unique_ptr<Aligned> arena_;
};

}  // namespace

int main() {
  std::array<float, 784> x[2] = {};
  std::array<float, 10> p[2] = {}, again[2] = {};
  for (int i = 0; i < 784; i++) {
    x[0][i] = static_cast<float>(i % 28) / 28;
    x[1][i] = static_cast<float>(i / 28) / 28;
  }
  int code[2] = {1, 1};
  auto work = [&](int t) {
    Net net;
    for (int r = 0; r < 200; r++) code[t] = net(x[t], p[t]);
  };
  std::thread a(work, 0), b(work, 1);
  a.join();
  b.join();
  Net net;
  for (int t = 0; t < 2; t++) {
    if (code[t] != 0 || net(x[t], again[t]) != 0 || p[t] != again[t]) {
      std::fprintf(stderr, "thread %d: results differ\n", t);
      return 1;
    }
  }
  std::puts("two threads, two arenas: the same results as one");
  return 0;
}
