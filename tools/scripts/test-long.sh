#!/usr/bin/env bash
# The long tests: crash loops, million-token streams, a full disk, fuzzing, then the fast suite under each sanitizer. Every part is
# bounded in time. A sanitizer that the toolchain refuses is reported with its output and fails the run.
set -uo pipefail
cd "$(dirname "$0")/../.."
swift=${SWIFT:-swift}
# The test library itself leaks a few hundred bytes when it ends.
export ASAN_OPTIONS=detect_leaks=0
# The thread sanitizer takes every Mutex of Swift's for no lock at all: its reports are printed, to be read, and only
# failing tests fail the run (docs/decisions/0007-thread-sanitizer-and-mutex.md).
export TSAN_OPTIONS=exitcode=0
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
failed=0

step() {  # NAME SECONDS COMMAND...
  local name=$1 seconds=$2
  shift 2
  echo "== $name (at most ${seconds} s)"
  if timeout --kill-after=20 "$seconds" "$@"; then
    echo "== $name: passed"
  else
    echo "== $name: FAILED (exit $?)"
    failed=1
  fi
}

$swift build -c release --build-tests || exit 1
LAGOON_LONG_TESTS=1 step "long tests" 3600 $swift test -c release --skip-build
step "a full disk" 300 tools/scripts/full-disk.sh
step "fuzzing" 900 tools/fuzz/fuzz.sh 60
for sanitizer in address thread; do
  LAGOON_SANITIZER=$sanitizer step "suite under the $sanitizer sanitizer" 3600 \
    $swift test -c release --sanitize "$sanitizer" --scratch-path ".build-$sanitizer"
done
exit $failed
