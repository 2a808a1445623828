#include "tests/cuda/ptx_executor/interpreter.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

namespace lanner::ptx {
namespace {

template <class T>
void fill(std::byte* row, std::uint64_t value) {
  std::fill_n(reinterpret_cast<T*>(row), warp_lanes, static_cast<T>(value));
}

std::string lanes_text(Mask lanes) {
  std::string text;
  for (; lanes != 0; lanes &= lanes - 1)
    text += (text.empty() ? "" : " ") + std::to_string(std::countr_zero(lanes));
  return text;
}

std::string text_of(const Dimensions& at) {
  return "(" + std::to_string(at.x) + ", " + std::to_string(at.y) + ", " + std::to_string(at.z) + ")";
}

unsigned coordinate(const Dimensions& of, char axis) {
  return axis == 'x' ? of.x : axis == 'y' ? of.y : of.z;
}

void set_specials(const Program& program, Warp& warp, const Dimensions& at, const Dimensions& grid,
                  const Dimensions& block) {
  for (const Program::Special& special : program.specials) {
    const std::string& name = special.name;
    auto* const row = warp.row<std::uint32_t>(special.row);
    for (unsigned lane = 0; lane < warp_lanes; ++lane) {
      const unsigned thread = warp.number * warp_lanes + lane;
      if (name.starts_with("%tid"))
        row[lane] = coordinate({thread % block.x, thread / block.x % block.y, thread / block.x / block.y},
                               name.back());
      else if (name.starts_with("%ctaid"))
        row[lane] = coordinate(at, name.back());
      else
        row[lane] = coordinate(name.starts_with("%ntid") ? block : grid, name.back());
    }
  }
}

}  // namespace

/// A warp on its way.
struct Kernel::Running : Warp {
  // Lanes at the same instruction; in the order of their place in the text.
  struct Group {
    std::uint32_t at;
    Mask lanes;
    bool waits;  // for other lanes
  };
  std::vector<Group> groups;
  Mask live = 0;
  const Instruction* barrier = nullptr;  // that it waits at

  void put(std::uint32_t at, Mask lanes, bool waits = false) {
    const auto place =
        std::find_if(groups.begin(), groups.end(), [&](const Group& group) { return group.at >= at; });
    if (place != groups.end() && place->at == at) {
      place->lanes |= lanes;
      place->waits = false;
    } else {
      groups.insert(place, {at, lanes, waits});
    }
  }
};

Kernel::Kernel(Entry entry, Perturbation* perturbation)
    : entry_(std::move(entry)),
      program_(decode(entry_, perturbation)),
      executed_(program_.code.size(), '0') {}

std::string Kernel::where(const Instruction& i) const {
  const Statement& statement = entry_.statements[i.index];
  return "line " + std::to_string(statement.line) + ": " + written(statement);
}

// Until all lanes have ended or are at a barrier.
void Kernel::advance(Running& warp) {
  std::uint32_t at = 0;
  try {
    advance(warp, at);
  } catch (const Fault& fault) {
    throw Fault(fault.kind, where(program_.code[at]) + ": " + fault.what());
  }
}

void Kernel::advance(Running& warp, std::uint32_t& at) {
  std::vector<Running::Group>& groups = warp.groups;
  const Instruction* const code = program_.code.data();
  while (!groups.empty()) {
    const auto next =
        std::find_if(groups.begin(), groups.end(), [](const auto& group) { return !group.waits; });
    if (next == groups.end()) {
      std::string waiting;
      for (const Running::Group& group : groups)
        waiting += "\n  lanes " + lanes_text(group.lanes) + " at " + where(code[group.at]);
      throw Fault(Fault::Kind::other, "lanes wait for each other at different places:" + waiting);
    }
    at = next->at;
    Mask lanes = next->lanes;
    groups.erase(next);
    // Where others are met.
    std::uint32_t end = static_cast<std::uint32_t>(program_.code.size());
    for (const Running::Group& group : groups)
      if (group.at > at) end = std::min(end, group.at);

    for (bool on = true; on;) {
      if (at >= end) {
        warp.put(at, lanes);
        break;
      }
      const Instruction& i = code[at];
      Mask acting = lanes;
      if (i.guard != Instruction::none) acting &= warp.predicates[i.guard] ^ i.guard_flip;
      ++instructions_;
      if (acting == 0) {
        ++at;
        continue;
      }
      executed_[at] = '1';
      switch (i.flow) {
        case Flow::next:
          i.handler(warp, i, acting);
          ++at;
          break;
        case Flow::branch:
          if (acting == lanes && groups.empty()) {
            at = i.target;
          } else {
            warp.put(i.target, acting);
            if (acting != lanes) warp.put(at + 1, lanes & ~acting);
            on = false;
          }
          break;
        case Flow::end:
          warp.live &= ~acting;
          lanes &= ~acting;
          for (Running::Group& group : groups) group.waits = false;  // perhaps for these
          ++at;
          on = lanes != 0;
          break;
        case Flow::together: {
          Mask members = i.members == Instruction::none ? all_lanes : 0;
          if (members == 0) {
            const auto* const row = warp.row<Mask>(i.members);
            for (Mask rest = acting; rest != 0; rest &= rest - 1) {
              const auto lane = static_cast<unsigned>(std::countr_zero(rest));
              if (!(row[lane] >> lane & 1))
                throw Fault(Fault::Kind::other,
                            "lane " + std::to_string(lane) + " is not in its member mask");
              members |= row[lane];
            }
          }
          if ((members & warp.live & ~acting) != 0) {
            warp.put(at, lanes, true);
            on = false;
          } else {
            i.handler(warp, i, acting);
            ++at;
          }
          break;
        }
        case Flow::barrier:
          if (acting != warp.live) {
            warp.put(at, lanes, true);
            on = false;
          } else {
            warp.barrier = &i;
            warp.put(at + 1, lanes);
            return;
          }
      }
    }
  }
}

// All that live are at a barrier: they go on, with what it found out.
void Kernel::meet(std::vector<Running>& warps) const {
  const Instruction* first = nullptr;
  std::uint32_t count = 0;
  bool all = true;
  for (const Running& warp : warps) {
    if (warp.barrier == nullptr) continue;
    if (first == nullptr) first = warp.barrier;
    if (warp.barrier->target != first->target || warp.barrier->reduction != first->reduction)
      throw Fault(Fault::Kind::other,
                  "warps wait at different barriers: " + where(*first) + "\n  " + where(*warp.barrier));
    if (first->reduction == Reduction::none) continue;
    const Mask votes = warp.predicates[warp.barrier->at[2]] & warp.live;
    count += static_cast<std::uint32_t>(std::popcount(votes));
    all = all && votes == warp.live;
  }
  for (Running& warp : warps) {
    const Instruction* const barrier = std::exchange(warp.barrier, nullptr);
    if (barrier == nullptr || barrier->reduction == Reduction::none) continue;
    if (barrier->reduction == Reduction::count) {
      for (unsigned lane = 0; lane < warp_lanes; ++lane)
        if (warp.live >> lane & 1) warp.row<std::uint32_t>(barrier->at[0])[lane] = count;
    } else {
      const bool holds = barrier->reduction == Reduction::all ? all : count > 0;
      Mask& predicate = warp.predicates[barrier->at[0]];
      predicate = (predicate & ~warp.live) | (holds ? warp.live : 0);
    }
  }
}

void Kernel::launch(const Memory& memory, Dimensions grid, Dimensions block, std::size_t dynamic_shared,
                    void* const* arguments) {
  ++launches_;
  std::vector<std::byte> parameters(program_.parameter_bytes);
  for (std::size_t i = 0; i < entry_.parameters.size(); ++i)
    std::memcpy(parameters.data() + program_.parameter_offsets[i], arguments[i], entry_.parameters[i].bytes);

  const std::size_t threads = block.count(), warp_count = (threads + warp_lanes - 1) / warp_lanes;
  constexpr std::size_t line = 64;
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  const std::size_t row_bytes = (program_.row_bytes + line - 1) / line * line;
  const std::unique_ptr<std::byte, Free> rows(
      static_cast<std::byte*>(std::aligned_alloc(line, std::max(line, row_bytes * warp_count))));
  if (rows == nullptr) throw std::bad_alloc();
  // What nobody has written is NaN, here and in shared memory.
  constexpr int nothing = 0xFF;
  std::memset(rows.get(), nothing, row_bytes * warp_count);
  std::vector<Mask> predicates(program_.predicates * warp_count);
  std::vector<std::byte> shared(program_.dynamic_shared_offset + dynamic_shared);
  std::vector<Range> seen(program_.code.size());

  std::vector<Running> warps(warp_count);
  for (unsigned number = 0; number < warp_count; ++number) {
    Running& warp = warps[number];
    warp.number = number;
    warp.rows = rows.get() + number * row_bytes;
    warp.predicates = predicates.data() + number * program_.predicates;
    warp.predicates[Program::always] = all_lanes;
    warp.shared = shared;
    warp.parameters = parameters;
    warp.memory = &memory;
    warp.seen = seen.data();
    for (const Program::Constant& constant : program_.constants) {
      std::byte* const row = warp.rows + constant.row;
      constant.bytes == 8   ? fill<std::uint64_t>(row, constant.value)
      : constant.bytes == 4 ? fill<std::uint32_t>(row, constant.value)
                            : fill<std::uint16_t>(row, constant.value);
    }
  }

  Dimensions at{0, 0, 0};
  try {
    for (; at.z < grid.z; ++at.z, at.y = 0)
      for (; at.y < grid.y; ++at.y, at.x = 0)
        for (; at.x < grid.x; ++at.x) {
          std::memset(shared.data(), nothing, shared.size());
          for (Running& warp : warps) {
            set_specials(program_, warp, at, grid, block);
            const std::size_t left = threads - std::size_t{warp.number} * warp_lanes;
            warp.live = left >= warp_lanes ? all_lanes : (Mask{1} << left) - 1;
            warp.groups = {{0, warp.live, false}};
          }
          while (std::any_of(warps.begin(), warps.end(),
                             [](const Running& warp) { return !warp.groups.empty(); })) {
            for (Running& warp : warps) advance(warp);
            meet(warps);
          }
        }
  } catch (const Fault& fault) {
    throw Fault(fault.kind, entry_.name + ", block " + text_of(at) + ": " + fault.what());
  }
}

}  // namespace lanner::ptx
