/** Arguments of commands. */
import { type ParseArgsConfig, parseArgs } from 'node:util'
import { nearest } from '../core/nearest.js'
import { UsageError } from './exit.js'

type Options = NonNullable<ParseArgsConfig['options']>

type Parsed<O extends Options> = ReturnType<
  typeof parseArgs<{ readonly options: O; readonly allowPositionals: true; readonly strict: true }>
>

/**
 * Options and positional arguments. Throws UsageError that names the unknown option, the nearest known one and the
 * usage.
 */
export function parseArguments<const O extends Options>(
  args: readonly string[],
  options: O,
  usage: string,
): { readonly values: Parsed<O>['values']; readonly positionals: readonly string[] } {
  const names = Object.keys(options)
  for (const arg of args) {
    if (arg === '--') break
    const name = /^--([^=]+)/.exec(arg)?.[1]
    if (name === undefined || names.includes(name)) continue
    const near = nearest(name, names)
    throw new UsageError(`there is no option --${name}${near === null ? '' : `; did you mean --${near}?`}\n${usage}`)
  }
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true })
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n${usage}`)
  }
}

/** The only positional argument. Throws UsageError, which says what the command takes, if there is none or several. */
export function onlyArgument(takes: string, positionals: readonly string[], usage: string): string {
  const [argument, ...others] = positionals
  if (argument === undefined || others.length > 0)
    throw new UsageError(`${takes}, but got ${positionals.length}\n${usage}`)
  return argument
}
