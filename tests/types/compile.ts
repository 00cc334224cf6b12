/** Programs of the library with files that exist only in memory, as the compiler sees them. */
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const root = fileURLToPath(new URL('../../', import.meta.url))
export const folder = `${root}tests/types/`
const config = ts.readConfigFile(`${root}tsconfig.json`, ts.sys.readFile)
const parsed = ts.parseJsonConfigFileContent(config.config, ts.sys, root)
// The snippets may have unused imports.
const options = { ...parsed.options, noUnusedLocals: false }

export const textOf = ({ messageText }: ts.Diagnostic) => ts.flattenDiagnosticMessageText(messageText, '\n')

const sources = new Map<string, ts.SourceFile>()

/** A program of the library with files that exist only in memory. */
export function compile(files: { readonly [name: string]: string }): ts.Program {
  const host = ts.createCompilerHost(options)
  const { fileExists, readFile } = host
  const inMemory = (path: string) => (path.startsWith(folder) ? files[path.slice(folder.length)] : undefined)
  host.fileExists = (path) => inMemory(path) !== undefined || fileExists(path)
  host.readFile = (path) => inMemory(path) ?? readFile(path)
  host.getSourceFile = (path, version) => {
    const known = inMemory(path) === undefined ? sources.get(path) : undefined
    if (known) return known
    const text = host.readFile(path)
    if (text === undefined) return undefined
    const source = ts.createSourceFile(path, text, version)
    if (inMemory(path) === undefined) sources.set(path, source)
    return source
  }
  return ts.createProgram(
    Object.keys(files).map((name) => folder + name),
    options,
    host,
  )
}
