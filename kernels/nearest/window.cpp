#include "kernels/nearest/window.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <stdexcept>
#include <string>

#include "kernels/arithmetic/environment.hpp"
#include "kernels/nearest/distinct.hpp"
#include "kernels/nearest/search.hpp"
#include "kernels/nearest/window_cells.hpp"

namespace lanner::nearest {
namespace {

constexpr std::size_t rows_max = std::size_t{1} << 30;
constexpr std::uint32_t none = no_self;

[[noreturn]] void fail(const std::string& what) {
  throw std::invalid_argument("nearest: " + what);
}

/// Finds the number of a distinct row by its values' hash. Open addressing without gaps: what is taken out is
/// filled by those behind that had to give way.
class Numbers {
 public:
  void reserve(std::size_t count) {
    if (slots_.size() >= 2 * count) return;
    std::vector<Slot> before(std::bit_ceil(2 * count));
    before.swap(slots_);
    for (const Slot& slot : before)
      if (slot.number != none) put(slot.hash, slot.number);
  }

  /// That of the row which `same(number)` says it is, or none.
  template <class Same>
  std::uint32_t find(std::uint64_t hash, const Same& same) const {
    for (std::size_t at = home(upper(hash)); slots_[at].number != none; at = behind(at))
      if (slots_[at].hash == upper(hash) && same(slots_[at].number)) return slots_[at].number;
    return none;
  }

  void add(std::uint64_t hash, std::uint32_t number) { put(upper(hash), number); }

  void rename(std::uint64_t hash, std::uint32_t number, std::uint32_t to) {
    slots_[place_of(hash, number)].number = to;
  }

  void remove(std::uint64_t hash, std::uint32_t number) {
    std::size_t gap = place_of(hash, number);
    for (std::size_t at = behind(gap); slots_[at].number != none; at = behind(at)) {
      const std::size_t from_home = (at - home(slots_[at].hash)) & (slots_.size() - 1);
      if (from_home < ((at - gap) & (slots_.size() - 1))) continue;
      slots_[gap] = slots_[at];
      gap = at;
    }
    slots_[gap] = {};
  }

  void lower_all(std::uint32_t by) {
    for (Slot& slot : slots_)
      if (slot.number != none) slot.number -= by;
  }

  std::size_t bytes() const { return slots_.size() * sizeof(Slot); }

 private:
  struct Slot {
    std::uint32_t hash = 0, number = none;
  };

  static std::uint32_t upper(std::uint64_t hash) { return static_cast<std::uint32_t>(hash >> 32); }
  std::size_t home(std::uint32_t hash) const { return hash & (slots_.size() - 1); }
  std::size_t behind(std::size_t at) const { return (at + 1) & (slots_.size() - 1); }
  std::size_t place_of(std::uint64_t hash, std::uint32_t number) const {
    std::size_t at = home(upper(hash));
    while (slots_[at].number != number) at = behind(at);
    return at;
  }
  void put(std::uint32_t hash, std::uint32_t number) {
    std::size_t at = home(hash);
    while (slots_[at].number != none) at = behind(at);
    slots_[at] = {hash, number};
  }

  std::vector<Slot> slots_;
};

// Original rows are numbered as they come. When there is no room for more, and more are gone than in use, all
// numbers are lowered.
class CpuWindow final : public Window {
 public:
  CpuWindow(Device& device, std::size_t width)
      : tier_(device.tier()),
        threads_(device.threads()),
        width_(width),
        cells_(device, width, position_of_) {}

  std::size_t distinct() const override { return cells_.distinct(); }
  std::size_t rows() const override { return position_of_.size() - oldest_; }
  std::size_t width() const override { return width_; }

  std::size_t workspace_bytes(std::size_t queries, std::size_t k, Count) const override {
    return CpuSearch{view(), tier_, threads_}.workspace_bytes(queries, k);
  }

  void answer(Stream& stream, const Request& request) const override {
    for (std::uint32_t row : request.self)
      if (row != no_self && (row >= rows() || position_of_[oldest_ + row] == WindowCells::no_position))
        fail("self names a row that the window does not have, or that is not the first of its kind");
    CpuSearch{view(), tier_, threads_}.answer(stream, request);
  }

  void insert(Rows rows) override {
    if (rows.count == 0) return;
    if (rows.width != width_ || rows.stride < rows.width)
      fail("rows have " + std::to_string(rows.width) + " features, the window " + std::to_string(width_));
    if (rows.count > rows_max - this->rows()) fail("more rows than a window can number");
    float largest = 0;
    for (std::size_t i = 0; i < rows.count; ++i)
      for (std::size_t j = 0; j < width_; ++j) {
        if (!std::isfinite(rows.row(i)[j])) fail("reference values must be finite");
        largest = std::max(largest, std::fabs(rows.row(i)[j]));
      }
    FloatEnvironment environment;
    reserve(rows.count);
    cells_.fit_scale(largest);
    for (std::size_t i = 0; i < rows.count; ++i) insert_one(rows.row(i));
  }

  void expire(std::size_t count) override {
    if (count > rows())
      fail("of " + std::to_string(rows()) + " rows " + std::to_string(count) + " cannot leave");
    FloatEnvironment environment;
    for (; count > 0; --count) expire_one();
    if (rows() == 0) cells_.review_scale();
  }

  std::vector<std::uint32_t> first_of_rows() const override {
    std::vector<std::uint32_t> first_of(rows());
    for (std::uint32_t i = oldest_; i < position_of_.size(); ++i) {
      if (position_of_[i] == WindowCells::no_position) continue;
      for (std::uint32_t row = i; row != none; row = next_[row]) first_of[row - oldest_] = i - oldest_;
    }
    return first_of;
  }

  std::size_t bytes() const override {
    return cells_.bytes() + numbers_.bytes() + 3 * position_of_.capacity() * sizeof(std::uint32_t);
  }

 private:
  IndexView view() const {
    IndexView view = cells_.view();
    view.original = rows();
    view.repeated = rows() > distinct();
    view.oldest = oldest_;
    view.position_of = position_of_.data() + oldest_;
    view.next = next_.data();
    return view;
  }

  void reserve(std::size_t more) {
    if (position_of_.size() + more > position_of_.capacity() && oldest_ > rows()) lower_numbers();
    const std::size_t wanted = position_of_.size() + more;
    if (wanted > position_of_.capacity())
      for (std::vector<std::uint32_t>* numbered : {&next_, &last_, &position_of_})
        numbered->reserve(wanted + wanted / 2);
    numbers_.reserve(distinct() + more);
  }

  void insert_one(const float* row) {
    cells_.reserve_for_one();
    const std::uint64_t hash = row_hash(row, width_);
    const auto number = static_cast<std::uint32_t>(position_of_.size());
    const std::uint32_t first = numbers_.find(
        hash, [&](std::uint32_t other) { return same_row(row, cells_.row(position_of_[other]), width_); });
    position_of_.push_back(WindowCells::no_position);
    next_.push_back(none);
    last_.push_back(number);
    if (first == none) {
      cells_.add(row, number);
      numbers_.add(hash, number);
    } else {
      next_[last_[first]] = number;
      last_[first] = number;
      ++cells_.weight(position_of_[first]);
    }
  }

  void expire_one() {
    const std::uint32_t number = oldest_, position = position_of_[number], next = next_[number];
    const std::uint64_t hash = row_hash(cells_.row(position), width_);
    if (next == none) {
      numbers_.remove(hash, number);
      cells_.remove(position);
    } else {
      numbers_.rename(hash, number, next);
      last_[next] = last_[number];
      position_of_[next] = position;
      cells_.number(position) = next;
      --cells_.weight(position);
    }
    ++oldest_;
  }

  void lower_numbers() {
    for (std::uint32_t i = oldest_; i < position_of_.size(); ++i)
      if (position_of_[i] != WindowCells::no_position) cells_.number(position_of_[i]) -= oldest_;
    for (std::vector<std::uint32_t>* numbered : {&position_of_, &next_, &last_})
      numbered->erase(numbered->begin(), numbered->begin() + oldest_);
    for (std::uint32_t& next : next_)
      if (next != none) next -= oldest_;
    for (std::uint32_t& last : last_) last -= std::min(last, oldest_);  // of no meaning but for first ones
    numbers_.lower_all(oldest_);
    oldest_ = 0;
    cells_.review_scale();
  }

  CpuTier tier_;
  unsigned threads_;
  std::size_t width_;
  std::uint32_t oldest_ = 0;
  // By number:
  std::vector<std::uint32_t> position_of_;  ///< of a distinct row's first original, else no_position
  std::vector<std::uint32_t> next_;         ///< the next original row that is the same, or none
  std::vector<std::uint32_t> last_;         ///< the last one that is the same; of first ones alone
  Numbers numbers_;
  WindowCells cells_;
};

}  // namespace

std::unique_ptr<Window> make_window(Device& device, std::size_t width) {
  if (device.backend() != Backend::cpu)
    fail("a window is searched on the CPU, not on " + device.description());
  if (width == 0 || width > screen_width_max)
    fail("rows of " + std::to_string(width) + " features, allowed: 1 to " + std::to_string(screen_width_max));
  FloatEnvironment environment;
  return std::make_unique<CpuWindow>(device, width);
}

}  // namespace lanner::nearest
