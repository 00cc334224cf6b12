#!/usr/bin/env bash
# The baseline kernels must run on the oldest 64-bit x86 processor, in the same binary that also holds kernels for newer ones.
# If the linker had put a function built for AVX-512 in the place of the baseline's, the program would die of an unknown
# instruction here and nowhere else. Links the native tests with the addon's own objects (npm run build:native), and runs them
# in qemu-user as an AMD Opteron of 2003, which has SSE2 and nothing newer.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(uname -m)" != x86_64 ] || ! command -v qemu-x86_64 > /dev/null; then
  echo 'baseline on an old processor: left out, for want of qemu-user'
  exit
fi
export ADDON=build/Release RUN='qemu-x86_64 -cpu Opteron_G1'
if [ -z "$(find "$ADDON/obj.target" -path '*/base/native/cpu/*.o' -print -quit 2> /dev/null)" ]; then
  echo "no kernels below $ADDON: run npm run build:native" >&2
  exit 1
fi
# AVX2 kernels must not run, which shows that the processor is old.
if TESTS=softmax scripts/native-tests.sh avx2 > /dev/null 2>&1; then
  echo 'the emulated processor runs AVX2' >&2
  exit 1
fi
TESTS=${TESTS:-elementwise reduce shape indexing matmul pool softmax norm loss optimizer random conv} scripts/native-tests.sh base
