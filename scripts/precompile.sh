#!/usr/bin/env bash
# Precompiles a header for g++: scripts/precompile.sh <header> <folder> <compiler and flags...> writes <folder>/NAME.h.gch, which
# `-I<folder> -include NAME.h` takes if the flags are the same. Does nothing where one as new as what it holds is there, and for
# other compilers, which read the header itself.
#
# Beside it: .flags, to be given with it, and .sum, a checksum of the text for ccache (CCACHE_PCH_EXTSUM), since two
# precompilations of one text differ.
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
# That make learns of the headers in it; and g++ 12 warns of its own AVX-512 intrinsics, for it forgets where the pragmas around
# them stand.
echo '-fpch-deps -Wno-uninitialized -Wno-maybe-uninitialized' > "$gch.flags"
echo "$*" > "$gch.command"
mv "$gch.new" "$gch"
