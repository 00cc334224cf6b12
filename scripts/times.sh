# To be sourced: processor_seconds prints what this shell's finished children have taken of the processors, in seconds. A
# subshell sets shell=$BASHPID first.
processor_seconds() {
  local fields
  # The fields behind the program's name, which may hold spaces: the 14th and 15th are the children's, in ticks.
  fields=$(< "/proc/${shell:-$$}/stat")
  read -ra fields <<< "${fields##*) }"
  echo $(((fields[13] + fields[14]) / $(getconf CLK_TCK)))
}
