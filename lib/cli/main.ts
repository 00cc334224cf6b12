#!/usr/bin/env node
/** The command `firesteel`. */
import { bench } from './bench.js'
import { doctor } from './doctor.js'
import { info } from './info.js'

const usage = `Usage: firesteel COMMAND
  info    which backends there are, the instruction set, threads, and why something is missing
  doctor  where native kernels were looked for, what serves, what to do; exits 1 where native kernels should serve but do not
  bench   times a few operators and a training step on every backend, side by side`

const [command, ...rest] = process.argv.slice(2)
try {
  if (rest.length > 0) throw new Error(`'${command}' takes no arguments, but got '${rest.join(' ')}'\n${usage}`)
  if (command === 'info') console.log(info())
  else if (command === 'doctor') {
    const { text, healthy } = doctor()
    console.log(text)
    if (!healthy) process.exitCode = 1
  } else if (command === 'bench') bench(console.log)
  else if (command === undefined || command === 'help' || command === '--help' || command === '-h') console.log(usage)
  else throw new Error(`there is no command '${command}'\n${usage}`)
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
