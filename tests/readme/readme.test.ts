/** The README's programs compile as they stand there, and run: each with the names of prelude.ts that it does not make itself. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { afterAll, describe, expect, it } from 'vitest'
import { takeOutput } from '../setup.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
const folder = `${root}tests/readme/programs/`
const readme = readFileSync(`${root}README.md`, 'utf8')

interface Program {
  readonly heading: string
  readonly code: string
}

const programs: Program[] = []
let heading = ''
for (const [, title, code] of readme.matchAll(/^## (.*)$|^```ts\n([\s\S]*?)^```$/gm)) {
  if (title !== undefined) heading = title
  else programs.push({ heading, code: code ?? '' })
}

/** What cannot run here, and why; it compiles all the same. */
const notRun: readonly (readonly [sign: string, reason: string])[] = [
  ["from 'firesteel/datasets'", 'trains for a minute: examples/digits.ts is the same program, and CI runs it'],
  ["from 'node:worker_threads'", 'needs a file of its own: tests/end-to-end/workers.mjs trains in workers'],
]

const prelude = readFileSync(`${root}tests/readme/prelude.ts`, 'utf8')
const offered = [...prelude.matchAll(/^export const (?:(\w+)|\[([\w, ]+)\])/gm)].flatMap(([, one, some]) =>
  one ? [one] : (some ?? '').split(', '),
)

/** The program as a file: with the prelude's names that it uses and does not make. */
function fileOf({ heading: title, code }: Program): string {
  const bare = code.replace(/'[^'\n]*'|\/\/.*$/gm, '')
  const made = (name: string) =>
    new RegExp(`(const|let|import|,|{)[^=;\\n]*\\b${name}\\b[^;\\n]*(=|from|of)`).test(bare)
  const used = offered.filter((name) => new RegExp(`(?<![.\\w])${name}\\b(?!:)`).test(bare) && !made(name))
  const fine = title === 'Fine-tune' ? used.map((name) => (name === 'model' ? 'digits as model' : name)) : used
  return `import { ${fine.join(', ')} } from '../prelude.js'\n${code}\nexport {}\n`
}

rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })
const files = programs.map((program, i) => {
  const path = `${folder}${i}.ts`
  writeFileSync(path, fileOf(program))
  return path
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe("the README's programs", () => {
  it('are found', () => expect(programs.length).toBeGreaterThan(8))

  it('compile', () => {
    const { config } = ts.readConfigFile(`${root}tsconfig.json`, ts.sys.readFile)
    const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root)
    const program = ts.createProgram(files, { ...options, noUnusedLocals: false })
    // Of the programs alone, because `npm run lint` checks the library.
    const own = files.map((path) => program.getSourceFile(path) as ts.SourceFile)
    const ofFile = (file: ts.SourceFile) => [
      ...program.getSyntacticDiagnostics(file),
      ...program.getSemanticDiagnostics(file),
    ]
    const found = [...program.getGlobalDiagnostics(), ...own.flatMap(ofFile)].map(
      ({ file, start = 0, messageText }) => {
        const line = file?.text.slice(0, start).split('\n').length
        return `${file?.fileName.replace(root, '')}:${line} ${ts.flattenDiagnosticMessageText(messageText, '\n')}`
      },
    )
    expect(found).toEqual([])
  })

  it.each(programs.map((program, i) => [program.heading, i] as const))('%s, program %i, runs', async (_title, i) => {
    const skipped = notRun.some(([sign]) => programs[i]?.code.includes(sign))
    if (!skipped) await import(/* @vite-ignore */ files[i] as string)
    takeOutput()
  })
})
