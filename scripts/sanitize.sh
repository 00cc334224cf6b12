#!/usr/bin/env bash
# The native tests (queue, allocator, thread pool, every kernel) under AddressSanitizer with UndefinedBehaviorSanitizer, and
# under ThreadSanitizer: npm run test:sanitize [address|thread]. Clean means that all pass and nothing is reported.
#
# Only kernels and the core are watched. The tests of kernels compute on one thread, and would be ten times slower.
#
# TESTS="softmax queue" runs only these.
#
# The instruction set is the best that this machine has (FIRESTEEL_ISA names another), because reads past an end occur in vector
# code written by hand. -O1 keeps the compilers quick and the stacks readable.
set -euo pipefail
cd "$(dirname "$0")/.."
sanitizers=("$@")
if [ ${#sanitizers[@]} -eq 0 ]; then sanitizers=(address thread); fi
isa=${FIRESTEEL_ISA:-$(scripts/native-tests.sh --list | tail -n 1)}
status=0
tests() {
  local name
  for name in $(basename -a -s .cpp native/tests/*.cpp); do
    if [ -z "${TESTS:-}" ] || [[ " $TESTS " == *" $name "* ]]; then echo "$name"; fi
  done
}
for sanitizer in "${sanitizers[@]}"; do
  case $sanitizer in
    address)
      # Use after scope is not checked: with it the unrolled micro-kernels alone compile for a minute. Nor is use after
      # return: g++ 12 then keeps vectors of 64 bytes in frames that are not aligned for them (its bug 110027). Nor are
      # pointers checked before their use, which made the micro-kernels compile for two minutes: AddressSanitizer reports
      # what a wrong one reads.
      flags='-O1 -g1 -fsanitize=address,undefined -fno-sanitize=null,alignment,object-size,pointer-overflow'
      flags+=' -fno-sanitize-recover=all -fno-sanitize-address-use-after-scope'
      tests=$(tests | grep -vx simd || true) # it tests headers alone
      ;;
    thread)
      flags='-O1 -g1 -fsanitize=thread'
      tests=$(tests | grep -vxE 'simd|decoder' || true) # they have no threads
      ;;
    *)
      echo "address or thread, not $sanitizer" >&2
      exit 1
      ;;
  esac
  if [ -z "$tests" ]; then
    echo "$sanitizer: none of the tests named, ${TESTS:-}, is for it"
    continue
  fi
  echo "-- $sanitizer, $isa"
  TESTS=$(echo $tests) WATCH=$flags TSAN_OPTIONS=halt_on_error=1 scripts/native-tests.sh "$isa" || status=1
done
exit $status
