// Scalar twin of attention_backward.cc: the definition, one query row and one key at a time.
#include "attention.h"

#include <cmath>

namespace lagoon {
namespace {

void AddRun(const lagoon_query_gradient_rows &rows, const lagoon_gradient_run &run, uint8_t type) {
  const size_t dim = rows.headDim;
  const size_t padded = lagoon_padded_dim(dim);
  for (size_t i = 0; i < rows.rows; ++i) {
    if (rows.logSumExp[i] == -HUGE_VALF) continue;
    const float *query = rows.queries + i * padded;
    const float *dOut = rows.dOut + i * padded;
    float *dQuery = rows.dQueries + i * padded;
    const size_t visible = VisibleKeys(rows, i, run.count, run.firstPosition);
    for (size_t r = 0; r < visible; ++r) {
      float logit = 0;
      float dWeight = 0;
      for (size_t c = 0; c < dim; ++c) {
        logit += query[c] * LoadElement(run.keys, type, r * dim + c);
        dWeight += dOut[c] * LoadElement(run.values, type, r * dim + c);
      }
      const float excess = std::fmin(logit, 3.4028234663852886e38f) - rows.logSumExp[i];
      const float weight = std::exp(std::fmin(excess, 0.0f));
      if (weight == 0) continue;
      const float dLogit = weight * (dWeight - rows.delta[i]);
      for (size_t c = 0; c < dim; ++c) dQuery[c] += dLogit * LoadElement(run.keys, type, r * dim + c);
      if (run.dKeys == nullptr) continue;
      for (size_t c = 0; c < dim; ++c) {
        float *dKey = run.dKeys + r * dim + c;
        float *dValue = run.dValues + r * dim + c;
        StoreAs(LoadAs<float>(dKey) + dLogit * query[c], dKey);  // any alignment
        StoreAs(LoadAs<float>(dValue) + weight * dOut[c], dValue);
      }
    }
  }
}

}  // namespace
}  // namespace lagoon

extern "C" void lagoon_attend_backward_scalar(const lagoon_query_gradient_rows *rows,
                                              const lagoon_gradient_run *runs, size_t runCount, uint8_t type,
                                              float *scratch) {
  (void)scratch;
  for (size_t i = 0; i < runCount; ++i) lagoon::AddRun(*rows, runs[i], type);
}
