/**
 * The host of the library: Node, or another with Node's modules (Bun, Electron); or a browser, which has none.
 *
 * The library imports no module of Node, because one such import would make a browser refuse the whole library. It asks
 * Node instead, through `nodeModule`. scripts/floors.ts holds every file to that.
 */
import { ValueError } from './errors.js'

interface NodeModules {
  readonly 'node:buffer': typeof import('node:buffer')
  readonly 'node:child_process': typeof import('node:child_process')
  readonly 'node:crypto': typeof import('node:crypto')
  readonly 'node:fs': typeof import('node:fs')
  readonly 'node:fs/promises': typeof import('node:fs/promises')
  readonly 'node:module': typeof import('node:module')
  readonly 'node:os': typeof import('node:os')
  readonly 'node:path': typeof import('node:path')
  readonly 'node:process': typeof import('node:process')
  readonly 'node:timers/promises': typeof import('node:timers/promises')
  readonly 'node:url': typeof import('node:url')
  readonly 'node:v8': typeof import('node:v8')
  readonly 'node:worker_threads': typeof import('node:worker_threads')
  readonly 'node:vm': typeof import('node:vm')
  readonly 'node:zlib': typeof import('node:zlib')
}

/** Node's `process`; null in browsers, where bundlers may put a near-empty object of that name. */
function processOfNode(): NodeJS.Process | null {
  const { process } = globalThis as { readonly process?: Partial<NodeJS.Process> }
  if (process?.versions?.node === undefined) return null
  if (typeof process.getBuiltinModule !== 'function')
    throw new ValueError('firesteel', `Node 20.19 or later is needed, or 22.12; this is ${process.version}`)
  return process as NodeJS.Process
}

const node = processOfNode()

/** Whether Node's modules exist, and with them files, threads and addons. */
export const inNode = node !== null

/** Stands in for a module's functions in a browser, so that only a call throws, not the look-up. */
function standIn(module: string): object {
  return new Proxy(
    {},
    {
      get: (_, name) => () => {
        throw new ValueError(
          String(name),
          `${module} belongs to Node, and this program runs elsewhere, as in a browser`,
        )
      },
    },
  )
}

/** A module of Node. In a browser its functions throw ValueError. */
export function nodeModule<N extends keyof NodeModules>(name: N): NodeModules[N] {
  return (node === null ? standIn(name) : node.getBuiltinModule(name)) as NodeModules[N]
}

/** Functions of a module of Node that is loaded when one of them is first called, because it takes milliseconds. */
export function lateFunctions<N extends keyof NodeModules, F extends keyof NodeModules[N] & string>(
  module: N,
  ...names: readonly F[]
): Pick<NodeModules[N], F> {
  const late =
    (name: F) =>
    (...args: readonly unknown[]) =>
      (nodeModule(module)[name] as (...args: readonly unknown[]) => unknown)(...args)
  return Object.fromEntries(names.map((name) => [name, late(name)])) as Pick<NodeModules[N], F>
}

/** Variables of the environment; a browser has none. */
export function environment(): { readonly [name: string]: string | undefined } {
  return node?.env ?? {}
}

export interface Warning {
  readonly type?: string
  readonly code?: string
}

/** Warns through the process, which may have listeners, or in a browser's console. */
export function warn(text: string, options: Warning = {}): void {
  if (node === null) console.warn(options.code === undefined ? text : `${options.code}: ${text}`)
  else node.emitWarning(text, { ...options, ctor: warn })
}

/** Calls the function at the first interrupt from the keyboard. The function returned here stops listening. */
export function onInterrupt(listener: () => void): () => void {
  node?.once('SIGINT', listener)
  return () => void node?.off('SIGINT', listener)
}

/** Resolves in a later turn of the event loop, after timers and other waiting work. */
export function nextTurn(): Promise<void> {
  if (inNode) return nodeModule('node:timers/promises').setImmediate()
  // A message is used, because a timer would wait four milliseconds.
  const { port1, port2 } = new MessageChannel()
  return new Promise((resolve) => {
    port1.addEventListener('message', () => {
      port1.close()
      resolve()
    })
    port1.start()
    port2.postMessage(null)
  })
}

/** Bytes by which the JavaScript heap may still grow; Infinity if the engine does not say. */
export function heapLeft(): number {
  if (!inNode) return Number.POSITIVE_INFINITY
  const { heap_size_limit: limit, used_heap_size: used } = nodeModule('node:v8').getHeapStatistics()
  return limit - used
}

/** The symbol of the method with which Node's console prints an object. */
export const printed: unique symbol = Symbol.for('nodejs.util.inspect.custom')
