#!/usr/bin/env bash
# Runs the native tests of instruction sets that this machine lacks, if the tool for each is installed, and prints what was left
# out. Usage: scripts/emulate-isa.sh [avx512|neon]...
#
#   avx512   kernels compiled for AVX2, their AVX-512 intrinsics by SIMDe (libsimde-dev)
#   neon     cross-compiled (g++-aarch64-linux-gnu) and run by qemu-aarch64 (qemu-user)
set -euo pipefail
cd "$(dirname "$0")/.."
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then targets=(avx512 neon); fi
cache=
if command -v ccache > /dev/null; then cache='ccache '; fi
status=0

for target in "${targets[@]}"; do
  case $target in
    avx512)
      if grep -qw avx512dq /proc/cpuinfo; then
        echo 'avx512: this machine has it, so that scripts/native-tests.sh runs it'
      elif ! echo '#include <simde/x86/avx512/types.h>' | ${CXX:-g++} -E -x c++ - > /dev/null 2>&1 || ! grep -qw avx2 /proc/cpuinfo; then
        echo 'avx512: left out, for want of SIMDe (libsimde-dev) or of AVX2'
      else
        FIRST=native/tests/avx512_by_simde.h ISA_FLAGS='-mavx2 -mfma -mf16c -Wno-psabi -O1' scripts/native-tests.sh avx512 || status=1
      fi
      ;;
    neon)
      if [ "$(uname -m)" = aarch64 ]; then
        scripts/native-tests.sh neon || status=1
      elif ! command -v aarch64-linux-gnu-g++ > /dev/null || ! command -v qemu-aarch64 > /dev/null; then
        echo 'neon: left out, for want of g++-aarch64-linux-gnu or qemu-user'
      else
        # The address space is limited (-R), because qemu keeps a record of each page that the allocator reserves.
        CXX="${cache}aarch64-linux-gnu-g++" RUN='qemu-aarch64 -R 0x180000000 -L /usr/aarch64-linux-gnu' scripts/native-tests.sh neon || status=1
      fi
      ;;
    *)
      echo "no such instruction set: $target" >&2
      exit 1
      ;;
  esac
done
exit $status
