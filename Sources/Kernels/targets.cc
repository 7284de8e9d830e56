#include "attention.h"
extern "C" {
size_t lagoon_padded_dim(size_t headDim) { return (headDim + 15) / 16 * 16; }
size_t lagoon_attention_scratch(size_t headDim) { return 4096 + 2 * 64 * lagoon_padded_dim(headDim); }
const char *lagoon_target_name(void) { return "scalar"; }
int lagoon_target_count(void) { return 1; }
void lagoon_set_thread_target(int) {}
void lagoon_convert(const void *a, uint8_t b, void *c, uint8_t d, size_t e) { lagoon_convert_scalar(a, b, c, d, e); }
ptrdiff_t lagoon_first_nonfinite(const void *a, uint8_t b, size_t c) { return lagoon_first_nonfinite_scalar(a, b, c); }
void lagoon_gather_rows(const void *a, size_t b, const uint32_t *c, size_t d, void *e) { lagoon_gather_rows_scalar(a, b, c, d, e); }
void lagoon_split_planes(const void *a, size_t b, size_t c, void *d) { lagoon_split_planes_scalar(a, b, c, d); }
void lagoon_join_planes(const void *a, size_t b, size_t c, void *d) { lagoon_join_planes_scalar(a, b, c, d); }
void lagoon_channel_range(const void *a, uint8_t b, size_t c, size_t d, float *e, float *f) { lagoon_channel_range_scalar(a, b, c, d, e, f); }
void lagoon_normalised_std(const void *a, uint8_t b, size_t c, size_t d, const float *e, const float *f, float *g) { lagoon_normalised_std_scalar(a, b, c, d, e, f, g); }
void lagoon_add_softmax(float *a, size_t b, float c, float *d) { lagoon_add_softmax_scalar(a, b, c, d); }
void lagoon_square_sums(const void *a, uint8_t b, size_t c, size_t d, float *e) { lagoon_square_sums_scalar(a, b, c, d, e); }
void lagoon_attend(const lagoon_query_rows *a, const void *b, const void *c, uint8_t d, size_t e, int64_t f, float *g) { lagoon_attend_scalar(a, b, c, d, e, f, g); }
}
