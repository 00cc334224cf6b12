#!/usr/bin/env node
import { nearest } from '../core/nearest.js'
/** The command `firesteel`. */
import { type ExitCode, exitCodeOf, exitCodes, UsageError } from './exit.js'

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
    about: 'shows rows as the model sees them, and which tokens it learns',
    open: async () => (await import('./commands/peek.js')).peekCommand,
  },
  finetune: {
    about: 'trains from a config; --dry only estimates what that takes, --resume continues a run',
    open: async () => (await import('./commands/finetune.js')).finetuneCommand,
  },
  search: {
    about: 'tries the settings of a config on its held-out rows; --resume continues a search',
    open: async () => (await import('./commands/search.js')).searchCommand,
  },
  prepare: {
    about: 'writes a corpus as shards of tokens, without duplicates',
    open: async () => (await import('./commands/prepare.js')).prepareCommand,
  },
  pretrain: {
    about: 'trains a language model on a corpus; takes --dry and --resume, as finetune does',
    open: async () => (await import('./commands/pretrain.js')).pretrainCommand,
  },
  evaluate: {
    about: 'measures what a run has learned',
    open: async () => (await import('./commands/evaluate.js')).evaluateCommand,
  },
  generate: {
    about: 'writes text with the model of a run or of a folder',
    open: async () => (await import('./commands/generate.js')).generateCommand,
  },
  embed: {
    about: 'computes the vectors of texts with an encoder',
    open: async () => (await import('./commands/embed.js')).embedCommand,
  },
  pull: {
    about: 'fetches and verifies a model or data set from Hugging Face; continues where it was interrupted',
    open: async () => (await import('./commands/pull.js')).pullCommand,
  },
  info: bare('prints the backends, the instruction set, the threads, and why something is missing', async () => {
    const { info } = await import('./info.js')
    return () => {
      console.log(info())
      return true
    }
  }),
  doctor: bare(
    'prints where native kernels were looked for, and which backend is used; exits with 1 if they should be used but are not',
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
Every command except info and doctor describes its options with --help.
Exit codes: 0 done, 1 failed, 2 wrong arguments, config or data, 130 stopped.`
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
