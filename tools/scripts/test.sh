#!/usr/bin/env bash
# The fast tests, built already. Suites run side by side, so what failed is printed once more in the end.
set -uo pipefail
cd "$(dirname "$0")/../.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"${SWIFT:-swift}" test -c release --skip-build 2>&1 | tee "$log"
code=${PIPESTATUS[0]}
if [ "$code" -ne 0 ]; then
  echo "== what failed:"
  grep -E '✘|error:|[Cc]rash' "$log" || tail -n 20 "$log"
fi
exit "$code"
