#!/usr/bin/env bash
# Coverage-guided fuzzing (libFuzzer) of what reads strangers' files, each target for some seconds from the fixtures on.
# A crash leaves its input in .build-fuzz/crashes and fails the run; kept inputs become tests.
#   tools/fuzz/fuzz.sh [SECONDS [TARGET ...]]
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(config safetensors tokenizer)
fixtures=Tests/Fixtures
export LAGOON_FUZZ=1

for target in "${targets[@]}"; do
  # lld, because SwiftPM names an executable's entry point itself and gold stumbles over libFuzzer's besides.
  "${SWIFT:-swift}" build -c release --product "fuzz-$target" --scratch-path .build-fuzz \
    -Xswiftc -sanitize=fuzzer -Xswiftc -parse-as-library -Xswiftc -use-ld=lld
  corpus=.build-fuzz/corpus/$target
  mkdir -p "$corpus" .build-fuzz/crashes
  case $target in
    config) files=("$fixtures"/models/*/config.json) length=8192 ;;
    safetensors)
      header='{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
      header+='"b":{"dtype":"BF16","shape":[1,3],"data_offsets":[8,14]},"c":{"dtype":"I64","shape":[],"data_offsets":[14,22]}}'
      printf "\\x$(printf %02x ${#header})\\0\\0\\0\\0\\0\\0\\0%s0123456789012345678901" "$header" >"$corpus/small"
      files=() length=1024
      ;;
    tokenizer) files=("$fixtures"/tokenizers/*/tokenizer.json) length=262144 ;;
  esac
  for index in "${!files[@]}"; do cp "${files[$index]}" "$corpus/fixture-$index"; done
  echo "== fuzz $target ($seconds s)"
  # A negative exit or a crash of the target ends the script; -timeout finds what hangs.
  .build-fuzz/release/fuzz-"$target" "$corpus" -max_total_time="$seconds" -max_len="$length" -timeout=20 \
    -rss_limit_mb=2048 -artifact_prefix=.build-fuzz/crashes/ -print_final_stats=1 2>&1 |
    grep -vE '^#|NEW_FUNC|Uses:|^####|INFO:' || exit 1
done
