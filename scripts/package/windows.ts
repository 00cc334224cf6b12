/** Node's functions in a binary for Windows: the list that native/windows/node.cpp reads. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

/** The source that looks for Node's functions when the binary is loaded. */
export const nodeSource = 'native/windows/node.cpp'

type Headers = { readonly symbols: { readonly v8: { readonly [header: string]: readonly string[] } } }

/** The names of all functions of Node-API 8. */
export function nodeFunctions(): readonly string[] {
  const { symbols } = createRequire(import.meta.url)('node-api-headers') as Headers
  return Object.values(symbols.v8).flat()
}

/** Writes the list into a folder, where the compiler is to look for it. */
export function writeNodeFunctions(folder: string): void {
  mkdirSync(folder, { recursive: true })
  writeFileSync(
    join(folder, 'node_functions.h'),
    `${nodeFunctions()
      .map((name) => `X(${name})`)
      .join('\n')}\n`,
  )
}
