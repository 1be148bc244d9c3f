// classify.cc - the pictures of examples/fashion by two nets in one program,
// the dense and the sparse one, with a thread and an arena for each CPU.
//
//   classify FOLDER      with images.npy and labels.npy
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "dense.h"
#include "sparse.h"

namespace {

constexpr std::size_t kPixels = 28 * 28, kClasses = 10;

// The bytes of a .npy of u8, behind its header.
std::vector<std::uint8_t> read_npy(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> all((std::istreambuf_iterator<char>(file)), {});
  if (all.size() < 10 || std::memcmp(all.data(), "\x93NUMPY\x01", 7) != 0)
    throw std::runtime_error(path + ": no .npy of version 1");
  auto byte = [&](std::size_t i) {
    return static_cast<unsigned char>(all[i]);
  };
  std::size_t data = 10 + byte(8) + 256u * byte(9);
  std::string header(all.begin() + 10,
                     all.begin() + std::min(data, all.size()));
  if (header.find("'|u1'") == std::string::npos)
    throw std::runtime_error(path + ": expected bytes");
  return {all.begin() + data, all.end()};
}

using Run = int (*)(const float *x, float *p, void *arena);

// A net with the scratch of one caller.
template <Run run, std::size_t arena_bytes>
class Net {
 public:
  int operator()(const std::array<float, kPixels> &x) {
    std::array<float, kClasses> p;
    if (int code = run(x.data(), p.data(), arena_->bytes))
      throw std::runtime_error("the call gave " + std::to_string(code));
    return static_cast<int>(std::max_element(p.begin(), p.end()) - p.begin());
  }

 private:
  struct Arena {
    alignas(64) unsigned char bytes[arena_bytes];
  };
  std::unique_ptr<Arena> arena_{new Arena()};
};

using Dense = Net<dense_run, DENSE_ARENA_BYTES>;
using Sparse = Net<sparse_run, SPARSE_ARENA_BYTES>;

// Threads take the next picture until there is none.
template <class N>
std::vector<int> classify(const std::vector<std::uint8_t> &pixels) {
  std::vector<int> found(pixels.size() / kPixels);
  std::atomic<std::size_t> next{0};
  auto work = [&] {
    N net;
    std::array<float, kPixels> x;
    for (std::size_t i; (i = next++) < found.size();) {
      for (std::size_t k = 0; k < kPixels; k++)
        x[k] = pixels[i * kPixels + k] / 255.0f;
      found[i] = net(x);
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency());
       i++)
    threads.emplace_back(work);
  for (auto &t : threads) t.join();
  return found;
}

template <class Same>
std::size_t count(std::size_t n, Same same) {
  std::size_t k = 0;
  for (std::size_t i = 0; i < n; i++) k += same(i);
  return k;
}

}  // namespace

int main(int argc, char **argv) {
  try {
    std::string folder = argc > 1 ? argv[1] : ".";
    auto pixels = read_npy(folder + "/images.npy");
    auto labels = read_npy(folder + "/labels.npy");
    auto dense = classify<Dense>(pixels), sparse = classify<Sparse>(pixels);
    std::size_t n = std::min(dense.size(), labels.size());
    std::printf("of %zu pictures\n  dense is right on %zu\n"
                "  sparse is right on %zu\n  both say the same of %zu\n", n,
                count(n, [&](auto i) { return dense[i] == labels[i]; }),
                count(n, [&](auto i) { return sparse[i] == labels[i]; }),
                count(n, [&](auto i) { return dense[i] == sparse[i]; }));
  } catch (const std::exception &e) {
    std::fprintf(stderr, "classify: %s\n", e.what());
    return 1;
  }
}
