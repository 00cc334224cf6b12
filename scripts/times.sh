# To be sourced: processor_seconds prints the processor time of this shell's finished children, in seconds. A
# subshell sets shell=$BASHPID first.
processor_seconds() {
  local fields
  # These are the fields after the program's name, which may hold spaces. The 14th and 15th are the children's, in ticks.
  fields=$(< "/proc/${shell:-$$}/stat")
  read -ra fields <<< "${fields##*) }"
  echo $(((fields[13] + fields[14]) / $(getconf CLK_TCK)))
}
