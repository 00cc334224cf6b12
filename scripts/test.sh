#!/usr/bin/env bash
# npm test: everything that must hold, in under six minutes. Prints the time of each part, and the processors' time, which is
# more telling on a busy machine. Stops at the first part that fails.
set -euo pipefail
cd "$(dirname "$0")/.."
export FIRESTEEL_REQUIRE=native
source scripts/times.sh
part() {
  local name=$1 start=$SECONDS before
  before=$(processor_seconds)
  shift
  printf '\n== %s\n' "$name"
  "$@"
  printf '== %s: %d s, %d processor s\n' "$name" $((SECONDS - start)) $(($(processor_seconds) - before))
}
texts() {
  shell=$BASHPID
  part 'lint' npx biome ci --error-on-warnings .
  part 'floors' npx tsx scripts/floors.ts
  part 'types' npx tsx scripts/types.ts
  part 'generated code' npx tsx scripts/generate.ts --check
  part 'table of what works' npx tsx scripts/support.ts --check
}
numbers() {
  shell=$BASHPID
  part 'golden cases' npx tsx tests/goldens/main.ts
  part 'metrics' npx tsx tests/metrics/main.ts
  part 'models' npx tsx tests/models/main.ts
}

part 'addon' node scripts/build-native.mjs --quiet
# These run side by side, because each keeps little more than one core busy.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
(texts) > "$log" 2>&1 &
texts=$!
(numbers) &
numbers=$! status=0
wait "$texts" || status=1
wait "$numbers" || status=1
cat "$log"
[ "$status" -eq 0 ]
part 'units, guards, examples, types' npx vitest run tests/unit tests/guards tests/readme tests/types
# The fuzzers, the suites on further instruction sets, and CUDA's tests on the emulator are run by .ci/run.
read -ra isas <<< "$(npx tsx scripts/available-isas.ts)"
bash scripts/suites.sh "${isas[0]}"
