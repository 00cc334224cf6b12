/**
 * Type-checks the project as `tsc --noEmit` does, and counts what the library's types cost the compiler. Usage: tsx scripts/types.ts
 */
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

/**
 * The most instantiations that the library may cost, a tenth above what was measured: 260,000 for records held to their
 * inputs, results and kernels, for two operands' dtypes and for literal sizes followed through layers; the rest for models,
 * tokenizers, pictures, tasks and runs.
 */
const most = 490_000

const root = fileURLToPath(new URL('../', import.meta.url))
const { config } = ts.readConfigFile(`${root}tsconfig.json`, ts.sys.readFile)
const { options, fileNames, errors } = ts.parseJsonConfigFileContent(config, ts.sys, root)
const program = ts.createProgram(fileNames, options)
const sources = program.getSourceFiles().filter(({ isDeclarationFile }) => !isDeclarationFile)
const ofLibrary = ({ fileName }: ts.SourceFile) => fileName.startsWith(`${root}lib/`)
const check = (source: ts.SourceFile) => [
  ...program.getSyntacticDiagnostics(source),
  ...program.getSemanticDiagnostics(source),
]
const found = [...errors, ...program.getConfigFileParsingDiagnostics(), ...program.getOptionsDiagnostics()]
// The library first, so that the count is its own.
found.push(...sources.filter(ofLibrary).flatMap(check))
const count = program.getInstantiationCount()
found.push(...program.getGlobalDiagnostics(), ...sources.filter((source) => !ofLibrary(source)).flatMap(check))

const host: ts.FormatDiagnosticsHost = {
  getCanonicalFileName: (name) => name,
  getCurrentDirectory: () => root,
  getNewLine: () => '\n',
}
if (found.length > 0) process.stdout.write(ts.formatDiagnostics(found, host))
console.log(`${sources.length} files, ${found.length} errors; ${count} instantiations of types in the library`)
if (count > most)
  console.log(
    `that is more than ${most}: find the type that costs so much, or raise the limit in ${import.meta.filename}`,
  )
process.exitCode = found.length > 0 || count > most ? 1 : 0
