/**
 * The programs of both READMEs, the English and the Chinese one, compile as they stand, and run. Each gets the names of
 * prelude.ts that it does not define itself.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { removeLora } from '../../lib/finetune/index.js'
import { takeOutput } from '../setup.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
const folder = `${root}tests/readme/programs/`
const readmes = ['README.md', 'README.zh.md']
const textOf = (readme: string) => readFileSync(`${root}${readme}`, 'utf8')

interface Program {
  readonly readme: string
  readonly heading: string
  readonly code: string
}

const programs: Program[] = []
for (const readme of readmes) {
  let heading = ''
  for (const [, title, code] of textOf(readme).matchAll(/^## (.*)$|^```ts\n([\s\S]*?)^```$/gm)) {
    if (title !== undefined) heading = title
    else programs.push({ readme, heading, code: code ?? '' })
  }
}
/** The sections whose model is the network of the first program, without adapters. */
const tuning = ['Fine-tune', '微调']

/** The programs that cannot run here, with the reason. They compile all the same. */
const notRun: readonly (readonly [sign: string, reason: string])[] = [
  ["from 'firesteel/datasets'", 'trains for a minute: examples/digits.ts is the same program, and CI runs it'],
  ["from 'node:worker_threads'", 'needs a file of its own: tests/end-to-end/workers.mjs trains in workers'],
]

const prelude = readFileSync(`${root}tests/readme/prelude.ts`, 'utf8')
const offered = [...prelude.matchAll(/^export const (?:(\w+)|\[([\w, ]+)\])/gm)].flatMap(([, one, some]) =>
  one ? [one] : (some ?? '').split(', '),
)

/** The program as a file, with the names from the prelude that it uses and does not define. */
function fileOf({ heading: title, code }: Program): string {
  const bare = code.replace(/'[^'\n]*'|\/\/.*$/gm, '')
  const made = (name: string) =>
    new RegExp(`(const|let|import|,|{)[^=;\\n]*\\b${name}\\b[^;\\n]*(=|from|of)`).test(bare)
  const used = offered.filter((name) => new RegExp(`(?<![.\\w])${name}\\b(?!:)`).test(bare) && !made(name))
  const fine = tuning.includes(title) ? used.map((name) => (name === 'model' ? 'digits as model' : name)) : used
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

describe("the READMEs' programs", () => {
  it.each(readmes)('of %s are found', (readme) =>
    expect(programs.filter((program) => program.readme === readme).length).toBeGreaterThan(8),
  )

  it('compile', () => {
    const { config } = ts.readConfigFile(`${root}tsconfig.json`, ts.sys.readFile)
    const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root)
    const program = ts.createProgram(files, { ...options, noUnusedLocals: false })
    // Only the programs are checked, because `npm run lint` checks the library.
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
  }, 120_000)

  describe.each(readmes)('of %s run', (readme) => {
    // Programs of the two READMEs use the same files and the same network.
    beforeAll(() => process.chdir(mkdtempSync(join(tmpdir(), 'firesteel-readme-'))))
    afterAll(async () => removeLora((await import('./prelude.js')).digits))
    const own = programs.flatMap((program, i) => (program.readme === readme ? [[program.heading, i] as const] : []))
    it.each(own)('%s, program %i', async (_heading, i) => {
      const skipped = notRun.some(([sign]) => programs[i]?.code.includes(sign))
      if (!skipped) await import(/* @vite-ignore */ files[i] as string)
      takeOutput()
    })
  })
})

it.each(readmes)('what %s links to is there, and the other one among it', (readme) => {
  const targets = [...textOf(readme).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)].map(([, target]) => target as string)
  expect(targets).toContain(readmes.find((other) => other !== readme))
  expect(targets.filter((target) => !existsSync(`${root}${target}`))).toEqual([])
})
