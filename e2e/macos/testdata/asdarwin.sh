#!/usr/bin/env bash
# asdarwin.sh CC OUT: the PKCS #11 module for this Linux with the macOS half of its shim (cmd/cryptoki/shim/host_darwin.h):
# one library with the Go core inside, whose runtime starts at the first C_Initialize. For tests.
set -euo pipefail
cc=$1 out=$2 work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$(dirname "$0")/../../.."
mac=(-DSP_DARWIN -DF_GETNOSIGPIPE=-1 -DF_SETNOSIGPIPE=-1)
# shellcheck disable=SC2086 # a command with arguments
$cc -O2 -g0 -fPIC -fvisibility=hidden -c -o "$work/libsystem.o" e2e/macos/testdata/libsystem.c
# The Go half waits by the same two functions; they have to be there when Go looks what it needs.
CGO_CFLAGS="-O2 -g0 -fvisibility=hidden -DSP_DARWIN" CGO_LDFLAGS="-Wl,--unresolved-symbols=ignore-all" CGO_LDFLAGS_ALLOW='.*' CGO_ENABLED=1 CC=$cc \
	go build -trimpath -buildmode=c-archive -ldflags="-s -w" -o "$work/core.a" ./cmd/cryptoki
(cd "$work" && mkdir objects && cd objects && ar x ../core.a && for f in *.o; do objcopy --rename-section .init_array=sp_init "$f"; done)
# shellcheck disable=SC2086
$cc -O2 -g0 -Wall -Wextra -Werror -fPIC -fvisibility=hidden -shared -s "${mac[@]}" -o "$out" cmd/cryptoki/shim/shim.c "$work/libsystem.o" "$work"/objects/*.o \
	-Wl,--version-script=cmd/cryptoki/shim/exports.map -Wl,-Bsymbolic -lpthread -ldl -lresolv
