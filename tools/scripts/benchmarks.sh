#!/usr/bin/env bash
# Runs the benchmarks of docs/benchmarks.md, one after another, and writes what each printed to FOLDER/NAME.json (default: benchmarks). With PYTHON set to
# the python of a virtual environment that has torch (and kvpress, if that is to be compared), also the comparisons of tools/compare. A result that is there is kept, so
# that a run that was interrupted goes on; remove the folder for another run.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:-benchmarks}
bench=${BENCH:-.build/release/lagoon-bench}
python=${PYTHON:-}
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
mkdir -p "$folder"
text="$folder/kjv.txt"
[ -s "$text" ] || bible -f 'gen1:1-rev22:21' | sed -E 's/^[^ ]+ //' > "$text"

measure() {  # NAME COMMAND...
  local name=$1
  shift
  [ -s "$folder/$name.json" ] && return
  echo "== $name" >&2
  "$@" --json > "$folder/$name.part"
  mv "$folder/$name.part" "$folder/$name.json"
}

measure memory "$bench" memory
measure compress "$bench" compress
measure attend-decode "$bench" attend --keys 8192 --keys 32768 --keys 131072
measure attend-chunk "$bench" attend --chunk
measure backward "$bench" backward
measure latency "$bench" latency
measure append-process "$bench" append --durability process
measure append-ordered "$bench" append --durability ordered
measure append-layers "$bench" append --durability ordered --layers 32
measure decode "$bench" decode
measure tokens "$bench" tokens data/kjv-tiny --text "$text"
measure rounding "$bench" rounding data/kjv-tiny --text "$text"
measure clients "$bench" clients
measure churn "$bench" churn
measure open "$bench" open
measure ageing "$bench" ageing
measure growth "$bench" growth

store=$(mktemp -d)
trap 'rm -rf "$store"' EXIT
if [ ! -s "$folder/codec.json" ]; then
  # Real keys and values, of the demo's model.
  head -c 65536 "$text" > "$store/text"
  .build/release/lagoon-lm ingest data/kjv-tiny --text "$store/text" --session book --store "$store/caches" --policy full >&2
  measure codec "$bench" codec --store "$store/caches" --session book
fi

if [ -n "$python" ]; then
  for work in decode chunk compress; do
    measure "compare-$work" "$python" tools/compare/attention.py "$work" --bench "$bench"
  done
  kvpress=()
  "$python" -c 'import kvpress' 2> /dev/null && kvpress=(--kvpress)
  measure compare-ingest "$python" tools/compare/ingest.py data/kjv-tiny --text "$text" --bench "$bench" "${kvpress[@]}"
fi
