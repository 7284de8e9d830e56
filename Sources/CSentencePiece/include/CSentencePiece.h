#pragma once
// SentencePiece behind a C interface: a model is loaded from memory, asked about its pieces, and encodes text.
//
// No C++ exception leaves these functions. A model's bytes have to be checked BEFORE they come here: the library reads the
// normaliser's trie without bounds and builds its own tries by recursion (see `SentencePieceModel` in `Tokenization`).
//
// A processor is constant once loaded: any number of threads may use it at once, and whoever made it frees it when no other
// call runs.
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// A loaded model.
typedef struct lagoon_sp_processor lagoon_sp_processor;

/// What a piece is, as the library classifies it.
typedef enum {
  LAGOON_SP_NORMAL = 0,
  LAGOON_SP_UNKNOWN = 1,
  LAGOON_SP_CONTROL = 2,
  LAGOON_SP_UNUSED = 3,
  LAGOON_SP_BYTE = 4,
} lagoon_sp_kind;

/// Loads a serialized `ModelProto`; the bytes are copied. Returns NULL on failure and writes why, with a terminating zero, into
/// `message` of `capacity` bytes.
lagoon_sp_processor *lagoon_sp_load(const void *bytes, size_t count, char *message, size_t capacity);

/// Frees a processor; NULL is allowed.
void lagoon_sp_free(lagoon_sp_processor *processor);

/// The number of pieces. Ids are 0 to this number less one.
int32_t lagoon_sp_vocabulary_size(const lagoon_sp_processor *processor);

/// The bytes of a piece, which live as long as the processor, and their number in `*count`. NULL for an id out of range.
const char *lagoon_sp_piece(const lagoon_sp_processor *processor, int32_t id, size_t *count);

/// The kind of a piece; `LAGOON_SP_UNUSED` for an id out of range.
lagoon_sp_kind lagoon_sp_piece_kind(const lagoon_sp_processor *processor, int32_t id);

/// The id of begin-of-text, end-of-text and the unknown piece; -1 where the model has none.
int32_t lagoon_sp_bos(const lagoon_sp_processor *processor);
int32_t lagoon_sp_eos(const lagoon_sp_processor *processor);
int32_t lagoon_sp_unknown(const lagoon_sp_processor *processor);

/// Encodes `count` bytes of UTF-8. Returns 0, and an array in `*ids` that `lagoon_sp_free_ids` frees, with its length in
/// `*id_count`. Returns -1 on failure and writes why into `message`.
int lagoon_sp_encode(
    const lagoon_sp_processor *processor, const void *text, size_t count, int32_t **ids, size_t *id_count, char *message,
    size_t capacity);

/// Frees what `lagoon_sp_encode` returned; NULL is allowed.
void lagoon_sp_free_ids(int32_t *ids);

#ifdef __cplusplus
}
#endif
