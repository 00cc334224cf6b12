#!/usr/bin/env bash
# The kernels of one instruction set must not lend code to another: in each kernel object there may be no weak, unique or
# common symbol, which the linker would merge across instruction sets, and nothing of the C++ library, whose inline
# functions become such symbols. No kernel may be missing from the addon, either. Usage: scripts/check-symbols.sh [build/Release]
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build/Release}
status=0

objects=$(find "$build/obj.target" -path '*/native/cpu/*.o' | sort)
if [ -z "$objects" ]; then
  echo "no kernel objects below $build: run npm run build:native" >&2
  exit 1
fi
for object in $objects; do
  merged=$(nm --format=posix "$object" | awk '$2 ~ /^[VvWwuC]$/ { print $1 }')
  library=$(nm --undefined-only --format=posix "$object" | awk '{ print $1 }' | grep -E '^(_ZN?K?St|_ZSt|_Zn[wa]|_Zd[la]|__cxa|__gxx)' || true)
  for symbol in $merged $library; do
    echo "$object: $(c++filt "$symbol")" >&2
    status=1
  done
done

missing=$(nm --undefined-only --demangle "$build/firesteel.node" | grep 'firesteel::' || true)
if [ -n "$missing" ]; then
  echo "not defined in the addon:" >&2
  echo "$missing" >&2
  status=1
fi
exit $status
