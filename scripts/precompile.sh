#!/usr/bin/env bash
# Precompiles a header for g++: scripts/precompile.sh <header> <folder> <compiler and flags...> writes <folder>/NAME.h.gch, which
# `-I<folder> -include NAME.h` takes if the flags are the same. Does nothing if there is one that is up to date, nor for other
# compilers, which read the header itself.
#
# Beside it are .flags, the flags to use with it, and .sum, a checksum of the text for ccache (CCACHE_PCH_EXTSUM), because two
# precompilations of the same text differ.
set -euo pipefail
header=$1 folder=$2
shift 2
case $("$@" --version) in *'Free Software Foundation'*) ;; *) exit ;; esac
gch=$folder/$(basename "$header").gch

fresh() {
  [ -e "$gch" ] && [ "$(cat "$gch.command" 2> /dev/null)" = "$*" ] || return
  local held
  for held in $(sed 's/^[^:]*://; s/\\$//' "$gch.d"); do if [ ! -e "$held" ] || [ "$held" -nt "$gch" ]; then return 1; fi; done
}
if fresh "$@"; then exit; fi

mkdir -p "$folder"
rm -f "$gch"
"$@" -x c++-header "$header" -MMD -MF "$gch.d" -o "$gch.new"
"$@" -x c++-header "$header" -E -P | cksum > "$gch.sum"
# The dependencies tell make of the headers in it. The warnings are off because g++ 12 forgets the pragmas around its own AVX-512
# intrinsics and warns of them.
echo '-fpch-deps -Wno-uninitialized -Wno-maybe-uninitialized' > "$gch.flags"
echo "$*" > "$gch.command"
mv "$gch.new" "$gch"
