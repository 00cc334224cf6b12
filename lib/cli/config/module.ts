/** The default export of a config that is a module, as plain data. */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { shown } from '../../core/errors.js'
import { exitCodes, UsageError } from '../exit.js'
import { notPlain } from './plain.js'

/** Seconds after which a module that is still being loaded is named. */
const patience = 10

/**
 * Tells of a module that awaits something for long, or for ever: then nothing is left to do, and the process ends.
 * Returns the function that ends the watch.
 */
function watchLoading(path: string): () => void {
  const said = `${path} awaits something at its top level`
  const timer = setTimeout(
    () => console.error(`${said}, and is not loaded after ${patience} s; Ctrl-C stops`),
    1000 * patience,
  )
  const ended = () => {
    console.error(`${said} that never comes; export the values themselves`)
    process.exitCode = exitCodes.wrong
  }
  timer.unref()
  process.once('exit', ended)
  return () => {
    clearTimeout(timer)
    process.off('exit', ended)
  }
}

/** Throws UsageError, with the line if the error tells it, for a module that fails or that exports other values. */
export async function loadModule(path: string): Promise<object> {
  const { href } = pathToFileURL(resolve(path))
  const endWatch = watchLoading(path)
  let config: unknown
  try {
    const module = (await import(href)) as { readonly default?: unknown }
    config = module.default
  } catch (error) {
    // A module may throw any value.
    const {
      code = '',
      message,
      stack = '',
    }: NodeJS.ErrnoException = error instanceof Error ? error : { name: '', message: shown(error) }
    const at = stack.split(href)[1]?.match(/^(:\d+)+/)?.[0] ?? ''
    const advice =
      code === 'ERR_UNKNOWN_FILE_EXTENSION'
        ? '; this Node runs no TypeScript: take Node 22.18 or later, start with NODE_OPTIONS="--import tsx", or write the config as .mjs or .yaml'
        : code.startsWith('ERR_REQUIRE_')
          ? '; name it .mts or .mjs, so that it is a module wherever it lies'
          : ''
    throw new UsageError(`${path}${at} cannot be loaded: ${message}${advice}`)
  } finally {
    endWatch()
  }
  if (config === undefined)
    throw new UsageError(`${path} has no default export; write export default { model: ..., data: ... }`)
  const wrong = notPlain(config)
  if (wrong !== null) throw new UsageError(`${path}: ${wrong}`)
  return config as object
}
