#pragma once
#include <oniguruma.h>
#include <stddef.h>

// The encoding and the syntax are mutable globals to Swift; both are constants here.

/// Once per process, before anything else. Bounds what a pattern may nest and call.
static inline int lagoon_onig_initialize(void) {
  OnigEncoding encodings[] = {ONIG_ENCODING_UTF8};
  onig_set_parse_depth_limit(200);
  onig_set_subexp_call_limit_in_search(1000000);
  return onig_initialize(encodings, 1);
}

/// Compiles a pattern. `message` takes at least ONIG_MAX_ERROR_MESSAGE_LEN bytes and is written on failure.
static inline int lagoon_onig_new(
    OnigRegex *regex, const unsigned char *pattern, size_t count, unsigned char *message) {
  OnigErrorInfo info;
  int status = onig_new(
      regex, pattern, pattern + count, ONIG_OPTION_NONE, ONIG_ENCODING_UTF8, ONIG_SYNTAX_RUBY, &info);
  if (status != ONIG_NORMAL) onig_error_code_to_str(message, status, &info);
  return status;
}

/// What a search's negative result means; `message` as above.
static inline void lagoon_onig_message(unsigned char *message, int status) {
  onig_error_code_to_str(message, status);
}

/// The first match at or after `from`, or a negative status.
static inline int lagoon_onig_search(
    OnigRegex regex, const unsigned char *text, size_t count, size_t from, OnigRegion *region,
    OnigMatchParam *parameters, unsigned long retries) {
  onig_set_retry_limit_in_match_of_match_param(parameters, retries);
  onig_set_retry_limit_in_search_of_match_param(parameters, retries);
  return onig_search_with_param(
      regex, text, text + count, text + from, text + count, region, ONIG_OPTION_NONE, parameters);
}
