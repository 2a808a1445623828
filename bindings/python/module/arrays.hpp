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

/// float32 [count] to be filled in, allocated by NumPy, which takes half the time of handing one over to it.
struct NumpyFloats {
  nanobind::object array;
  float* values;

  explicit NumpyFloats(std::size_t count) {
    static PyObject* const empty = of_numpy("empty");
    static PyObject* const dtype = of_numpy("float32");
    array = nanobind::handle(empty)(count, nanobind::handle(dtype));
    values = nanobind::cast<Vector<float>>(array).data();
  }

 private:
  /// Kept for as long as the process lives, as modules are.
  static PyObject* of_numpy(const char* name) {
    return nanobind::object(nanobind::module_::import_("numpy").attr(name)).release().ptr();
  }
};

}  // namespace lanner::python
