/** A config that has been read and checked, and that still knows the places of its values. */
import { existsSync } from 'node:fs'
import { isAbsolute, relative, resolve } from 'node:path'
import type * as z from 'zod'
import { isFiresteelError, shown } from '../../core/errors.js'
import { inConfigWords } from '../advice.js'
import { UsageError } from '../exit.js'
import { problemsOf } from './problems.js'
import type { FinetuneConfig, PretrainConfig, TableConfig } from './schema.js'
import { type Path, Source } from './source.js'

export interface Loaded<C = FinetuneConfig> {
  readonly config: C
  readonly source: Source
  /** Resolves a path that is relative to the config's folder, so that it is relative to the working folder. */
  resolve(path: string): string
}

/**
 * Reads a config and applies the changes of `--set`. The schema may depend on what the config holds. Throws UsageError
 * that lists all faults with line and column.
 */
export async function loadConfig<C>(
  path: string,
  assignments: readonly string[],
  given: z.ZodType<C> | ((value: unknown) => z.ZodType<C>),
): Promise<Loaded<C>> {
  const source = await Source.read(path)
  for (const assignment of assignments) source.set(assignment)
  let value: unknown
  try {
    value = source.value
  } catch (error) {
    if (error instanceof UsageError) throw error
    // The config has an alias without an anchor, or so many aliases that they would fill the memory.
    const { message } = error as Error
    const text = /alias count/.test(message) ? 'aliases are nested in aliases too often; write the values out' : message
    throw new UsageError(`${path}: ${text}`)
  }
  const schema = typeof given === 'function' ? given(value) : given
  const parsed = schema.safeParse(value)
  if (!parsed.success) throw new UsageError(problemsOf(source, schema, parsed.error.issues).join('\n'))
  const { data: config } = parsed
  const own = (each: string) => {
    const path = resolve(source.folder, each)
    if (ofShell.test(each) && !existsSync(path)) throw new UsageError(shellText(source, config, each))
    return shortened(path)
  }
  return { config, source, resolve: own }
}

/** Parts of a path that a shell would replace: `~` at the beginning, `$NAME` and `${NAME}`. */
const ofShell = /^~(\/|$)|\$(\{\w+\}|[A-Za-z_]\w*)/

/** The message about a path that only a shell understands. A folder of that name would be made otherwise. */
function shellText(source: Source, config: unknown, given: string): string {
  const path = pathOf(config, given) ?? []
  const name = path.join('.')
  return `${source.place(path)}: ${name === '' ? 'a path' : name} is ${shown(given)}, but a config knows no variables of the shell and no ~; write the path out, or let the shell do it, as in --set ${name || 'output'}="$HOME/runs"`
}

/** The keys that lead to a text in a config, or null if no value is that text. */
function pathOf(value: unknown, text: string): Path | null {
  if (value === text) return []
  if (typeof value !== 'object' || value === null) return null
  for (const [key, inner] of Object.entries(value)) {
    const rest = pathOf(inner, text)
    if (rest !== null) return [key, ...rest]
  }
  return null
}

/** The path relative to the working folder, unless that is longer, so that messages stay short. */
function shortened(path: string): string {
  const short = relative(process.cwd(), path)
  return short === '' || short.startsWith('..') || isAbsolute(short) ? path : short
}

/**
 * Runs code that uses a value of the config. An error there begins with the value's place and name instead of a
 * function's name, which would mean nothing to the user.
 */
export async function placed<T>({ source }: Pick<Loaded, 'source'>, path: Path, run: () => Promise<T> | T): Promise<T> {
  try {
    return await run()
  } catch (error) {
    if (error instanceof Error) {
      const own = inConfigWords(isFiresteelError(error) ? error.message.replace(`[${error.op}] `, '') : error.message)
      // The error object stays the same, because its class determines the exit code.
      const [place, name] = [source.place(path), path.join('.')]
      error.message = `${place}: ${place === `--set ${name}` ? '' : `${name}: `}${own}`
    }
    throw error
  }
}

/** The config of a fine-tuning. */
export async function loadFinetune(path: string, assignments: readonly string[] = []): Promise<Loaded> {
  const { finetuneSchema } = await import('./schema.js')
  return loadConfig(path, assignments, finetuneSchema)
}

/** The config of any training, for a search over its values. */
export async function loadSearched(
  path: string,
  assignments: readonly string[] = [],
): Promise<Loaded<FinetuneConfig | PretrainConfig | TableConfig>> {
  const { searchedSchema } = await import('./schema.js')
  return loadConfig(path, assignments, searchedSchema)
}
