// The rows of runs, eight at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "Kernels.h"

namespace lagoon {

inline size_t CountRows(const lagoon_row_run *runs, size_t runCount) {
  size_t count = 0;
  for (size_t i = 0; i < runCount; ++i) count += runs[i].count;
  return count;
}

// Rows that are gone through together: a sum's end takes as long as some twenty of its terms.
constexpr size_t kGroup = 8;

using RowGroup = const uint8_t *[kGroup];

// Some rows, and those that another call will read.
struct RowRuns {
  const lagoon_row_run *runs;
  size_t count;  // rows
  const lagoon_row_run *next;
  size_t nextCount;  // rows
};

// Goes through the rows of runs, a group after the other.
class GroupCursor {
 public:
  GroupCursor(const lagoon_row_run *runs, size_t count, size_t rowBytes) : run_(runs), rowBytes_(rowBytes), left_(count) {}

  // The next group; rows that there are none of are those of `others`.
  void Next(RowGroup &to, const RowGroup &others) {
    SkipEnds();
    if (left_ >= kGroup && run_->count - row_ >= kGroup) {
      for (size_t t = 0; t < kGroup; ++t) to[t] = Row();
      return;
    }
    for (size_t t = 0; t < kGroup; ++t) {
      SkipEnds();
      to[t] = left_ > 0 ? Row() : others[t];
    }
  }

 private:
  void SkipEnds() {
    while (left_ > 0 && row_ == run_->count) {
      ++run_;
      row_ = 0;
    }
  }

  const uint8_t *Row() {
    --left_;
    return static_cast<const uint8_t *>(run_->rows) + row_++ * rowBytes_;
  }

  const lagoon_row_run *run_;
  size_t rowBytes_;
  size_t left_;
  size_t row_ = 0;
};

// A group that is gone through, the one after it, and one of those that another call will read: the last two can be fetched meanwhile.
class RowGroups {
 public:
  RowGroup from = {}, soon, later;

  RowGroups(const RowRuns &runs, size_t rowBytes)
      : all_(runs.runs, runs.count, rowBytes), next_(runs.next, runs.nextCount, rowBytes) {
    all_.Next(from, from);
    // A row that has no other goes with the first.
    for (size_t t = runs.count; t < kGroup; ++t) from[t] = from[0];
    Look();
  }

  void Advance() {
    for (size_t t = 0; t < kGroup; ++t) from[t] = soon[t];
    Look();
  }

 private:
  void Look() {
    all_.Next(soon, from);
    next_.Next(later, from);
  }

  GroupCursor all_, next_;
};

}  // namespace lagoon
