#!/usr/bin/env bash
# Builds and runs the native tests without Node or the addon: each file of native/tests is a program, linked with native/core
# and the kernels of one instruction set. Usage: scripts/native-tests.sh [isa...], by default all that this machine can run
# (--list prints them, the best last).
#
#   TESTS="softmax queue"          only these
#   CXX, CXXFLAGS                  another compiler; flags that follow those of native/sources.json
#   ISA_FLAGS                      in place of the instruction set's own flags
#   WATCH                          flags of a sanitizer: for kernels and core, not for what tests kernels
#   FIRST=header                   a header that files for an instruction set include before everything else
#   RUN="qemu-aarch64 -L /usr/..." the command that runs the programs
#   ADDON=build/Release            link the addon's own kernels, of all instruction sets, instead of building some
#   BUILD_ONLY=1                   compile and link, run nothing
#   JOBS                           compilers at a time (default: the number of cores)
#
# Objects are kept in build/native-tests, by compiler and flags, and rebuilt when a source or header is newer. Those of tests
# serve all sanitizers.
set -euo pipefail
cd "$(dirname "$0")/.."

present() { for flag in "$@"; do grep -qw "$flag" /proc/cpuinfo || return 1; done; }
isas=("$@")
if [ ${#isas[@]} -eq 0 ] || [ "$1" = --list ]; then
  # macOS calls it arm64.
  if [ "$(uname -m)" = aarch64 ] || [ "$(uname -m)" = arm64 ]; then
    isas=(neon)
  else
    isas=(base)
    if present avx2 fma f16c; then isas+=(avx2); fi
    if present avx512f avx512bw avx512vl avx512dq fma; then isas+=(avx512); fi
  fi
fi
if [ "${1:-}" = --list ]; then
  printf '%s\n' "${isas[@]}"
  exit
fi
if [ -z "${CXX:-}" ]; then
  CXX=g++
  if command -v ccache > /dev/null; then CXX='ccache g++'; fi
fi
export CCACHE_SLOPPINESS=pch_defines,time_macros CCACHE_PCH_EXTSUM=1 # as in build-native.mjs
list() { node scripts/list-sources.cjs "$@"; }
flags="$(list flags.all | tr '\n' ' ') ${CXXFLAGS:-}"
FIRST=${FIRST:-}
folder() { printf 'build/native-tests/%s' "$(cksum <<< "$CXX $flags ${ISA_FLAGS-own} $1" | cut -d ' ' -f 1)"; }
root=$(folder "${WATCH:-}") plain=$(folder '')
mkdir -p "$root"

tests=()
for source in native/tests/*.cpp; do
  name=$(basename "$source" .cpp)
  if [ -z "${TESTS:-}" ] || [[ " $TESTS " == *" $name "* ]]; then tests+=("$name"); fi
done
# Tests of the core do not depend on an instruction set, so they run once.
of_isa() { grep -q FIRESTEEL_ISA "native/tests/$1.cpp"; }

rule() { # <object> <source> <flag...>
  printf '%s: %s\n\t%s %s %s -MMD -MP -c %s -o $@\n-include %s\n' "$1" "$2" "$CXX" "$flags" "${*:3}" "$2" "${1%.o}.d"
}
# The flags with which all files of a kind first read some headers, which are precompiled for them.
prefix() { # <folder> <headers> <flag...>
  local folder=$1 header flag
  mkdir -p "$folder"
  for header in $FIRST $2; do echo "#include \"$PWD/$header\""; done > "$folder/prefix.new"
  cmp -s "$folder/prefix.new" "$folder/prefix.h" || cp "$folder/prefix.new" "$folder/prefix.h"
  # shellcheck disable=SC2086 # several flags
  scripts/precompile.sh "$folder/prefix.h" "$folder" ${CXX#ccache } $flags "${@:3}" || true # the compiler will say it again
  for flag in "${@:3}" -include prefix.h "-iquote$folder"; do printf '%s ' "$flag"; done
  if [ -e "$folder/prefix.h.gch" ]; then cat "$folder/prefix.h.gch.flags"; fi
}
link() { # <program> <object...>
  printf 'all: %s\n%s: %s\n\t%s -pthread %s $^ -o $@\n' "$1" "$1" "${*:2}" "$CXX" "${CXXFLAGS:-} ${WATCH:-}"
}
makefile() {
  local source object core=() kernels kernel_flags isa_flags test_flags
  echo 'all:'
  for source in $(list core | grep -v core/isa.cpp); do # isa.cpp wants the kernels of all instruction sets
    object=$root/core/$(basename "$source" .cpp).o
    core+=("$object")
    rule "$object" "$source" "${WATCH:-}"
  done
  for name in "${tests[@]}"; do
    if of_isa "$name"; then continue; fi
    rule "$root/core/test-$name.o" "native/tests/$name.cpp" "${WATCH:-}" -O1
    link "$root/core/$name" "$root/core/test-$name.o" "${core[@]}"
  done
  for isa in "${isas[@]}"; do
    isa_flags="-DFIRESTEEL_ISA=$isa ${ISA_FLAGS-$(list "flags.$isa" | tr '\n' ' ')}"
    # g++ 12 warns of its own std::string if that is precompiled.
    # shellcheck disable=SC2086
    test_flags=$(prefix "$plain/$isa/tests" 'native/cpu/prefix.h native/tests/arrays.h' -O1 -Wno-unused-function \
      -Wno-array-bounds -Wno-restrict -Wno-stringop-overflow $isa_flags)
    kernels=()
    if [ -n "${ADDON:-}" ]; then
      mapfile -t kernels < <(find "$ADDON/obj.target" -path '*/native/cpu/*.o' | sort)
    else
      # shellcheck disable=SC2046,SC2086 # several flags
      kernel_flags=$(prefix "$root/$isa/kernels" native/cpu/prefix.h $(list flags.kernels) ${WATCH:-} $isa_flags)
      for source in $(list kernels); do
        object=${source#native/cpu/}
        object=$root/$isa/$(tr / - <<< "${object%.cpp}").o
        kernels+=("$object")
        rule "$object" "$source" "$kernel_flags"
      done
    fi
    for name in "${tests[@]}"; do
      of_isa "$name" || continue
      rule "$plain/$isa/test-$name.o" "native/tests/$name.cpp" "$test_flags"
      # The test comes after the kernels, because the linker takes the first of two inline functions: the watched one.
      link "$root/$isa/$name" "${kernels[@]}" "${core[@]}" "$plain/$isa/test-$name.o"
    done
  done
}
for isa in core "${isas[@]}"; do mkdir -p "$root/$isa" "$plain/$isa"; done
makefile > "$root/Makefile"
nice make --silent -f "$root/Makefile" -j "${JOBS:-$(nproc)}" all
if [ -n "${BUILD_ONLY:-}" ]; then exit; fi

# Several programs run at a time. The output of each is kept until its turn.
run() { # <folder/name>
  local start=$SECONDS status=0
  # shellcheck disable=SC2086 # RUN is a command with arguments
  ${RUN:-} "$root/$1" > "$root/$1.log" 2>&1 || status=$?
  echo "$status $((SECONDS - start))" > "$root/$1.result"
}
programs=()
for name in "${tests[@]}"; do of_isa "$name" || programs+=("core/$name"); done
for isa in "${isas[@]}"; do
  for name in "${tests[@]}"; do if of_isa "$name"; then programs+=("$isa/$name"); fi; done
done
for program in "${programs[@]}"; do
  while [ "$(jobs -rp | wc -l)" -ge "${JOBS:-$(nproc)}" ]; do wait -n; done
  run "$program" &
done
wait

failed=0
for program in "${programs[@]}"; do
  read -r status seconds < "$root/$program.result"
  if [ "$status" -eq 0 ]; then
    printf 'ok      %-20s %3d s  %s\n' "$program" "$seconds" "$(tail -n 1 "$root/$program.log")"
  else
    failed=$((failed + 1))
    printf 'FAILED  %-20s %3d s  status %d\n' "$program" "$seconds" "$status"
    cat "$root/$program.log"
  fi
done
echo "$((${#programs[@]} - failed)) passed, $failed failed"
[ $failed -eq 0 ]
