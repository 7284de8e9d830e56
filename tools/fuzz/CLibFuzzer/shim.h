#pragma once
#include <stddef.h>
#include <stdint.h>

/// libFuzzer's driver, linked by -sanitize=fuzzer: calls `target` with inputs until a limit of its options is reached.
int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*target)(const uint8_t *data, size_t size));
