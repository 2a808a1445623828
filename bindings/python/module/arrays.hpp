// What the engine gives as NumPy arrays that own it.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

namespace lanner::python {

template <class T>
using Vector = nanobind::ndarray<nanobind::numpy, T, nanobind::ndim<1>>;
template <class T>
using Table = nanobind::ndarray<nanobind::numpy, T, nanobind::ndim<2>>;

template <class Array, class T>
Array to_numpy(std::vector<T> values, std::initializer_list<std::size_t> shape) {
  auto* kept = new std::vector<T>(std::move(values));
  const nanobind::capsule owner(kept,
                                [](void* owned) noexcept { delete static_cast<std::vector<T>*>(owned); });
  return Array(kept->data(), shape, owner);
}
template <class T>
Vector<T> to_numpy(std::vector<T> values) {
  const std::size_t count = values.size();
  return to_numpy<Vector<T>>(std::move(values), {count});
}

/// `values`: `count` of them.
template <class T>
Vector<T> to_numpy(std::unique_ptr<T[]> values, std::size_t count) {
  T* const kept = values.release();
  const nanobind::capsule owner(kept, [](void* owned) noexcept { delete[] static_cast<T*>(owned); });
  return Vector<T>(kept, {count}, owner);
}

}  // namespace lanner::python
