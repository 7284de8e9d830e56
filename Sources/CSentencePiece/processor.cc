#include <sentencepiece_processor.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "CSentencePiece.h"

namespace sentencepiece {
namespace logging {
// Exported by the library but declared in none of its installed headers: messages below this level are not printed.
void SetMinLogLevel(int level);
}  // namespace logging
}  // namespace sentencepiece

struct lagoon_sp_processor {
  sentencepiece::SentencePieceProcessor library;
};

namespace {

// The library's levels are 0 (information), 1 (warnings), 2 (errors), 3 (fatal).
constexpr int kFatalOnly = 3;

void Report(const char *why, char *message, size_t capacity) {
  if (message != nullptr && capacity > 0) std::snprintf(message, capacity, "%s", why);
}

// The library tells standard error that a model has no normaliser, for every model loaded; errors come back as statuses.
void SilenceLog() {
  static std::once_flag once;
  std::call_once(once, [] { sentencepiece::logging::SetMinLogLevel(kFatalOnly); });
}

bool IsId(const lagoon_sp_processor *processor, int32_t id) {
  return id >= 0 && id < processor->library.GetPieceSize();
}

/// Calls `body`, which returns a T; `otherwise` when it throws.
template <typename T, typename Body>
T Guarded(T otherwise, Body body) {
  try {
    return body();
  } catch (...) {
    return otherwise;
  }
}

}  // namespace

extern "C" {

lagoon_sp_processor *lagoon_sp_load(const void *bytes, size_t count, char *message, size_t capacity) {
  try {
    SilenceLog();
    auto processor = std::make_unique<lagoon_sp_processor>();
    const auto status =
        processor->library.LoadFromSerializedProto(std::string_view(static_cast<const char *>(bytes), count));
    if (status.ok()) return processor.release();
    Report(status.error_message(), message, capacity);
  } catch (const std::exception &error) {
    Report(error.what(), message, capacity);
  } catch (...) {
    Report("unknown exception", message, capacity);
  }
  return nullptr;
}

void lagoon_sp_free(lagoon_sp_processor *processor) { delete processor; }

int32_t lagoon_sp_vocabulary_size(const lagoon_sp_processor *processor) {
  return Guarded<int32_t>(0, [&] { return processor->library.GetPieceSize(); });
}

const char *lagoon_sp_piece(const lagoon_sp_processor *processor, int32_t id, size_t *count) {
  return Guarded<const char *>(nullptr, [&]() -> const char * {
    *count = 0;
    if (!IsId(processor, id)) return nullptr;
    const std::string &piece = processor->library.IdToPiece(id);
    *count = piece.size();
    return piece.data();
  });
}

lagoon_sp_kind lagoon_sp_piece_kind(const lagoon_sp_processor *processor, int32_t id) {
  return Guarded(LAGOON_SP_UNUSED, [&] {
    const auto &library = processor->library;
    if (!IsId(processor, id) || library.IsUnused(id)) return LAGOON_SP_UNUSED;
    if (library.IsUnknown(id)) return LAGOON_SP_UNKNOWN;
    if (library.IsControl(id)) return LAGOON_SP_CONTROL;
    return library.IsByte(id) ? LAGOON_SP_BYTE : LAGOON_SP_NORMAL;
  });
}

int32_t lagoon_sp_bos(const lagoon_sp_processor *processor) {
  return Guarded<int32_t>(-1, [&] { return processor->library.bos_id(); });
}

int32_t lagoon_sp_eos(const lagoon_sp_processor *processor) {
  return Guarded<int32_t>(-1, [&] { return processor->library.eos_id(); });
}

int32_t lagoon_sp_unknown(const lagoon_sp_processor *processor) {
  return Guarded<int32_t>(-1, [&] { return processor->library.unk_id(); });
}

int lagoon_sp_encode(
    const lagoon_sp_processor *processor, const void *text, size_t count, int32_t **ids, size_t *id_count, char *message,
    size_t capacity) {
  *ids = nullptr;
  *id_count = 0;
  if (count == 0) return 0;
  try {
    std::vector<int> encoded;
    const auto status =
        processor->library.Encode(std::string_view(static_cast<const char *>(text), count), &encoded);
    if (!status.ok()) {
      Report(status.error_message(), message, capacity);
      return -1;
    }
    if (encoded.empty()) return 0;
    auto *copy = static_cast<int32_t *>(std::malloc(encoded.size() * sizeof(int32_t)));
    if (copy == nullptr) {
      Report("out of memory", message, capacity);
      return -1;
    }
    for (size_t i = 0; i < encoded.size(); ++i) copy[i] = encoded[i];
    *ids = copy;
    *id_count = encoded.size();
    return 0;
  } catch (const std::exception &error) {
    Report(error.what(), message, capacity);
  } catch (...) {
    Report("unknown exception", message, capacity);
  }
  return -1;
}

void lagoon_sp_free_ids(int32_t *ids) { std::free(ids); }

}  // extern "C"
