#!/usr/bin/env bash
# The tests that need a full disk, on a file system of 30 MB in memory that only they see. Built already.
set -euo pipefail
cd "$(dirname "$0")/../.."
export SWIFT=${SWIFT:-swift}
# Root may mount in a namespace of its own; others need one of users beside it.
[ "$(id -u)" = 0 ] && namespaces=--mount || namespaces="--map-root-user --mount"
# shellcheck disable=SC2086
unshare $namespaces sh -euc '
  LAGOON_SMALL_DISK=$(mktemp -d)
  export LAGOON_SMALL_DISK
  trap "umount \"$LAGOON_SMALL_DISK\"; rmdir \"$LAGOON_SMALL_DISK\"" EXIT
  mount -t tmpfs -o size=30m tmpfs "$LAGOON_SMALL_DISK"
  "$SWIFT" test -c release --skip-build --filter aFullDiskIsSurvived
'
