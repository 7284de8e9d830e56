#!/bin/sh
# Regenerates lagoon.pb.swift from lagoon.proto. Needs protoc (Debian: protobuf-compiler) and protoc-gen-swift of the
# swift-protobuf release that Package.swift asks for: on the PATH, or its path as the first argument.
# swift-protobuf's build plugin does the same at every build, but adds minutes to it; so the result is committed.
set -eu
cd "$(dirname "$0")"
plugin=${1:-$(command -v protoc-gen-swift)}
protoc --plugin=protoc-gen-swift="$plugin" --swift_opt=Visibility=Public --swift_out=. lagoon.proto
