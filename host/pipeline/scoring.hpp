// Scoring: from slots of feature rows to scores, decisions, and for flagged rows the reasons. Slots are begun
// and finished in the same order, which is that of decisions. On a GPU several are under way at once;
// whatever goes wrong there, the slot is scored again on the CPU, with the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "host/clock.hpp"
#include "host/pipeline/gpu.hpp"
#include "host/pipeline/stage.hpp"

namespace lanner::host {

class Scoring {
 public:
  struct Options {
    std::size_t rows_max = 8192;
    std::size_t slots = 4;                      ///< that there are
    bool offload_always = false;                ///< every slot to a GPU that can be used, whatever it costs
    std::int64_t watchdog_ns = 10'000'000'000;  ///< what takes longer on a GPU hangs
  };
  Scoring(const Clock&, Device& cpu, Gpus, const Options&, Counters&);

  /// Another slot can be begun before the first is finished.
  bool has_room() const;
  bool under_way() const { return !under_way_.empty(); }
  void begin(Slot&);
  /// Scores, decisions and explanations of the slot begun first are there: that slot; it is no longer under
  /// way. null: a GPU is still at it. Something must be under way.
  Slot* finish();

 private:
  struct UnderWay {
    Slot* slot = nullptr;
    std::int64_t begun_ns = 0;
    Gpu* gpu = nullptr;                                     ///< null: the CPU's
    std::vector<std::unique_ptr<engine::RoundTrip>> trips;  ///< one a lane
  };

  void begin_on(Gpu&, std::size_t number, UnderWay&);
  bool collect(UnderWay&);
  void score_on_cpu(Slot&);
  void decide(Slot&);
  void watch_series(Slot&);
  void leave(UnderWay&);
  void fall_back(UnderWay&, const char* why);
  void explain(Slot&, std::size_t lane, const Slot::Segment&, std::size_t at);

  const Clock& clock_;
  Device& device_;
  Stream stream_;
  Gpus gpus_;
  Options options_;
  std::size_t explain_max_;
  Counters& counters_;
  std::vector<UnderWay> under_way_;                                     ///< oldest first; a few
  std::vector<std::vector<std::unique_ptr<engine::RoundTrip>>> spare_;  ///< empty lists whose memory is kept
  std::int64_t last_finished_ns_ = 0;
  Pinned<std::uint8_t> none_refused_;
  Pinned<float> rows_, contributions_;
};

}  // namespace lanner::host
