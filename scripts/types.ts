/**
 * Type-checks the project, and counts what the library's types cost the compiler. Usage: tsx scripts/types.ts
 *
 * TypeScript 7 does this in half the time of TypeScript 6, which writes the declarations and has the interface that
 * scripts use.
 */
import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

/**
 * The most instantiations that the library may cost, a tenth above the measured number. Records whose inputs, results
 * and kernels are checked, the dtypes of two operands, and literal sizes through layers cost 260,000. Models,
 * tokenizers, pictures, tasks and runs cost the rest.
 */
const most = 540_000

const root = fileURLToPath(new URL('../', import.meta.url))
const compiler = createRequire(import.meta.url)
  .resolve('typescript-7/package.json')
  .replace('package.json', 'bin/tsc')

/**
 * The compiler's output for a project, and its exit code. It runs on one thread, because several threads count shared
 * types twice.
 */
function check(project: string): Promise<{ text: string; code: number | null }> {
  const flags = ['--noEmit', '--singleThreaded', '--extendedDiagnostics', '--pretty', 'false']
  const run = spawn(process.execPath, [compiler, '-p', project, ...flags], { cwd: root })
  return new Promise((resolve, reject) => {
    let text = ''
    for (const stream of [run.stdout, run.stderr]) stream.setEncoding('utf8').on('data', (part) => (text += part))
    run.on('error', reject).on('close', (code) => resolve({ text, code }))
  })
}

const [whole, library] = await Promise.all([check('tsconfig.json'), check('tsconfig.build.json')])
const count = Number(/^Instantiations:\s+(\d+)$/m.exec(library.text)?.[1])
if (whole.code !== 0) process.stdout.write(whole.text.replace(/^Files:[\s\S]*/m, ''))
console.log(`types: ${whole.code === 0 ? 'no errors' : 'errors'}; ${count} instantiations of types in the library`)
const within = count <= most
if (!within)
  console.log(
    `that is not at most ${most}: find the type that costs so much, or raise the limit in ${import.meta.filename}`,
  )
process.exitCode = whole.code === 0 && within ? 0 : 1
