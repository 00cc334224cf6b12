#!/usr/bin/env node
/** The command `firesteel`. */
import { type ExitCode, exitCodeOf, exitCodes, UsageError } from './exit.js'
import { nearest } from './nearest.js'

interface Command {
  readonly about: string
  /** Loads the command's file only when it is called, so that other commands start at once. */
  open(): Promise<(args: readonly string[]) => ExitCode | Promise<ExitCode>>
}

/** A command without arguments. */
function bare(about: string, open: () => Promise<() => boolean>): Command {
  return {
    about,
    open: async () => {
      const run = await open()
      return (args) => {
        if (args.length > 0)
          throw new UsageError(`this command takes no arguments, but got '${args.join(' ')}'\n${usage()}`)
        return run() ? exitCodes.done : exitCodes.failed
      }
    },
  }
}

const commands: { readonly [name: string]: Command } = {
  init: {
    about: 'writes a config to begin with',
    open: async () => (await import('./commands/init.js')).initCommand,
  },
  peek: {
    about: 'shows rows as the model sees them, and what of them is learned',
    open: async () => (await import('./commands/peek.js')).peekCommand,
  },
  finetune: {
    about: 'trains from a config; --dry only says what that would take, --resume goes on',
    open: async () => (await import('./commands/finetune.js')).finetuneCommand,
  },
  prepare: {
    about: 'makes shards of tokens of a corpus, without its duplicates',
    open: async () => (await import('./commands/prepare.js')).prepareCommand,
  },
  pretrain: {
    about: 'trains a language model from its beginning on a corpus; --dry and --resume as finetune',
    open: async () => (await import('./commands/pretrain.js')).pretrainCommand,
  },
  evaluate: {
    about: 'measures what a run has learned',
    open: async () => (await import('./commands/evaluate.js')).evaluateCommand,
  },
  generate: {
    about: 'lets a model write, of a config or a folder',
    open: async () => (await import('./commands/generate.js')).generateCommand,
  },
  embed: {
    about: 'makes vectors of texts by an encoder',
    open: async () => (await import('./commands/embed.js')).embedCommand,
  },
  pull: {
    about: 'fetches a model or data set of Hugging Face, verified, and goes on where it was cut',
    open: async () => (await import('./commands/pull.js')).pullCommand,
  },
  info: bare('which backends there are, the instruction set, threads, and why something is missing', async () => {
    const { info } = await import('./info.js')
    return () => {
      console.log(info())
      return true
    }
  }),
  doctor: bare(
    'where native kernels were looked for, what serves, what to do; exits 1 where native kernels should serve but do not',
    async () => {
      const { doctor } = await import('./doctor.js')
      return () => {
        const { text, healthy } = doctor()
        console.log(text)
        return healthy
      }
    },
  ),
  bench: {
    about: 'times operators and training steps on every device, side by side',
    open: async () => (await import('./commands/bench.js')).benchCommand,
  },
}

function usage(): string {
  const lines = Object.entries(commands).map(([name, { about }]) => `  ${name.padEnd(10)}${about}`)
  return `Usage: firesteel COMMAND
${lines.join('\n')}
firesteel COMMAND --help tells more of the first ones. Exit codes: 0 done, 1 failed, 2 wrong arguments, config or data, 130 stopped.`
}

async function main([name, ...args]: readonly string[]): Promise<ExitCode> {
  if (name === undefined || ['help', '--help', '-h'].includes(name)) {
    console.log(usage())
    return exitCodes.done
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command !== undefined) return await (await command.open())(args)
  const near = nearest(name, Object.keys(commands))
  throw new UsageError(`there is no command '${name}'${near === null ? '' : `; did you mean '${near}'?`}\n${usage()}`)
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = exitCodeOf(error)
}
