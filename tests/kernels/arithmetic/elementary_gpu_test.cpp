// The shared arithmetic on GPUs, emulated and real: the bits of the host's scalar calls.
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>

#include "kernels/device/gpu.hpp"
#include "tests/kernels/arithmetic/arguments.hpp"
#include "tests/kernels/arithmetic/elementary_gpu.hpp"
#include "tests/kernels/arithmetic/elementary_values.hpp"
#include "tests/kernels/arithmetic/primitive_values.hpp"
#include "tests/kernels/on_device.hpp"

namespace lanner::test {
namespace {

using tests::OnDevice;

constexpr Function functions[] = {Function::exp,   Function::exp_normal, Function::log, Function::log1p,
                                  Function::expm1, Function::tanh,       Function::sin, Function::cos};
constexpr WideFunction wide_functions[] = {WideFunction::exp, WideFunction::log, WideFunction::log1p};

// No promise is made of a NaN's payload where an operation makes one.
template <class T>
bool same(T a, T b) {
  return to_bits(a) == to_bits(b) || (a != a && b != b);
}

template <class Choice, class T>
std::vector<T> evaluated(Device& device, Choice function, const std::vector<T>& x) {
  OnDevice<T> in(device, x), out(device, x.size());
  Stream stream = device.stream();
  LANNER_ON_GPU(device, evaluate, stream, function, in.data(), out.data(), x.size());
  return out.read(stream);
}

TEST(ElementaryOnGpu, FunctionsHaveTheBitsOfTheScalarCall) {
  std::vector<float> x = awkward_floats();
  for (std::uint64_t pattern = 5; pattern <= 0xFFFFFFFFu; pattern += 9'973)
    x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(pattern)));
  std::vector<float> normal;  // what exp_normal answers for
  std::copy_if(x.begin(), x.end(), std::back_inserter(normal), [](float v) { return v >= -87 && v <= 88; });
  std::vector<double> wide = awkward_doubles();
  for (double value : random_doubles(20'000)) wide.push_back(value);
  for (const auto& device : tests::gpus()) {
    for (Function function : functions) {
      const std::vector<float>& arguments = function == Function::exp_normal ? normal : x;
      const std::vector<float> got = evaluated(*device, function, arguments);
      for (std::size_t i = 0; i < arguments.size(); ++i)
        ASSERT_EQ(to_bits(got[i]), to_bits(value_of(function, arguments[i])))
            << device->description() << ", function " << static_cast<int>(function) << " of " << arguments[i];
    }
    for (WideFunction function : wide_functions) {
      const std::vector<double> got = evaluated(*device, function, wide);
      for (std::size_t i = 0; i < wide.size(); ++i)
        ASSERT_EQ(to_bits(got[i]), to_bits(value_of(function, wide[i])))
            << device->description() << ", function of doubles " << static_cast<int>(function) << " of "
            << wide[i];
    }
  }
}

// Every pair of values, with a third from somewhere in them.
template <class T>
void expect_primitives(const std::vector<T>& values) {
  std::vector<T> x, y, z;
  std::mt19937 random(9);
  for (T a : values)
    for (T b : values) {
      x.push_back(a);
      y.push_back(b);
      z.push_back(values[random() % values.size()]);
    }
  for (const auto& device : tests::gpus()) {
    OnDevice<T> in_x(*device, x), in_y(*device, y), in_z(*device, z), out(*device, x.size());
    Stream stream = device->stream();
    for (int p = 0; p < primitive_count; ++p) {
      const auto primitive = static_cast<Primitive>(p);
      LANNER_ON_GPU(*device, evaluate, stream, primitive, in_x.data(), in_y.data(), in_z.data(), out.data(),
                    x.size());
      const std::vector<T> got = out.read(stream);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const T expected = value_of(primitive, x[i], y[i], z[i]);
        ASSERT_TRUE(same(got[i], expected)) << device->description() << ", primitive " << p << " of " << x[i]
                                            << ", " << y[i] << ", " << z[i] << ": " << got[i];
      }
    }
  }
}

template <class T>
std::vector<T> thinned(const std::vector<T>& values, std::size_t count) {
  std::vector<T> few;
  for (std::size_t i = 0; i < count; ++i) few.push_back(values[i * values.size() / count]);
  return few;
}

TEST(ElementaryOnGpu, PrimitivesHaveTheHostsBits) {
  expect_primitives(thinned(awkward_floats(), 150));
  std::vector<double> wide = thinned(awkward_doubles(), 100);
  for (double value : random_doubles(20)) wide.push_back(value);
  expect_primitives(wide);
}

}  // namespace
}  // namespace lanner::test
