#!/usr/bin/env bash
# Runs the suites on each named instruction set, the best first: scripts/suites.sh [--more] avx512 avx2
# The first one runs everything, unless --more is given. Tests that no instruction set can change, and the reference device, run
# only with the first.
set -euo pipefail
cd "$(dirname "$0")/.."
export FIRESTEEL_REQUIRE=native
source scripts/times.sh
once=(composite coverage errors gradients meta numbers zero-sizes)
others=()
for file in tests/suites/*.test.ts; do
  name=$(basename "$file" .test.ts)
  [[ " ${once[*]} " == *" $name "* ]] || others+=("$file")
done
if [ "${1:-}" = --more ]; then
  shift
else
  first=1
fi
for isa in "$@"; do
  start=$SECONDS before=$(processor_seconds)
  printf '\n== suites, %s\n' "$isa"
  if [ -n "${first:-}" ]; then
    FIRESTEEL_ISA=$isa npx vitest run tests/suites
    first=
  else
    FIRESTEEL_ISA=$isa FIRESTEEL_TEST_DEVICES=cpu npx vitest run "${others[@]}"
  fi
  printf '== suites, %s: %d s, %d processor s\n' "$isa" $((SECONDS - start)) $(($(processor_seconds) - before))
done
