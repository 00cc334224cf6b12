/**
 * Adds a composite and a primitive operator to a copy of the working tree, as a contributor would (tests/addition).
 * Then it looks for them in the generated code, in the types, in the table of what works, on every device, and in every
 * suite, guard and fuzzer. Finally it leaves out each part of them in turn, and some check must notice. It ends with `N
 * passed, N failed`.
 *
 * Usage: npm run check:addition -- [--found] [--keep]. --found only looks for the operators, in half the time. --keep
 * keeps the copy, and prints its path.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { composite, type Edit, type Operator, primitive, witnesses } from '../tests/addition/edits.js'
import { type Ended, Scratch, type Test } from '../tests/addition/scratch.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const operators: readonly Operator[] = [composite, primitive]
const edits = operators.flatMap((operator) => operator.edits)

/** Suites that try no operator by name, with the reason. A suite that does is not listed. */
const nameless: { readonly [file: string]: string } = {
  'tests/suites/autograd.test.ts': 'the graph itself, on operators that it chooses',
  'tests/suites/coverage.test.ts': 'all of them at once: a part that is left out must fail it, below',
  'tests/suites/fusion.test.ts': 'pairs of layers',
  'tests/suites/precision.test.ts': 'trainings',
  'tests/suites/properties.test.ts': 'shapes and options at random, of families that say which',
  'tests/suites/scope.test.ts': 'the lives of tensors, whatever makes them',
  'tests/guards/race.test.ts': 'asynchronous calls, which operators are not',
  'tests/guards/subpaths.test.ts': 'models, tokenizers and pictures, which operators are not',
}

/** Suites about something that a composite operator lacks. */
const ofKernels: { readonly [file: string]: string } = {
  'tests/suites/composite.test.ts': 'kernels that a device lacks',
}

/** Tests of a similar operator that the new one lacks, with the reason. */
const notTried: readonly { readonly of: RegExp; readonly because: string }[] = [
  {
    of: /special-values\.test\.ts > on '?reference'? in '?float64/,
    because: 'these are numbers of PyTorch, which has no such function',
  },
  { of: /model-activations\.test\.ts/, because: 'these are activations that a config.json can name' },
  { of: /empty\.test\.ts/, because: 'it has some examples of empty tensors; zero-sizes.test.ts tries all functions' },
]

/** The way to run each fuzzer for a moment, or null with the reason if it calls only its own operators. */
const fuzzers: { readonly [file: string]: readonly [command: string | null, reason?: string] } = {
  'api.ts': ['1 1'],
  'files.ts': [null, 'mutates files'],
  'kernels.ts': ['1 1 build/last'],
  'readers.ts': [null, 'mutates files of rows'],
  'logits.ts': [null, 'takes operators over logits, from tests/fuzz/settings/logits.ts'],
  'mutants.ts': [null, 'is the loop of the fuzzers of files'],
  'poison.ts': [`1 0 '${operators.map(({ name }) => name).join('|')}'`],
  'settings.ts': [null, 'draws settings of what PyTorch has, from tests/fuzz/settings'],
  'torch.ts': [null, 'draws large calls of what PyTorch has, from tests/cases/large.ts'],
}

let passed = 0
let failed = 0
function check(what: string, ok: boolean, why = ''): boolean {
  if (ok) passed++
  else failed++
  console.log(`${ok ? 'ok     ' : 'FAILED '} ${what}${ok || why === '' ? '' : `\n${why.trimEnd()}`}`)
  return ok
}
const succeeds = (what: string, { ok, output }: Ended) => check(what, ok, output.slice(-4000))

const scratch = new Scratch()

function contribute(): boolean {
  for (const { name, edits } of operators) {
    const files = new Set(edits.map(({ file }) => file))
    console.log(
      `${name}: ${files.size} files, ${edits.reduce((n, { text }) => n + text.split('\n').length - 1, 0)} lines`,
    )
    check(`${name} touches at most seven files`, files.size <= 7)
  }
  scratch.apply(edits)
  scratch.run('mkdir -p build && touch build/last && truncate -s 1000 build/last')
  succeeds('the code is generated', scratch.run('npx tsx scripts/generate.ts'))
  succeeds('the types hold', scratch.run(types))
  succeeds(
    'the style holds',
    scratch.run(`npx biome check --colors=off ${[...new Set(edits.map((e) => e.file))].join(' ')}`),
  )
  succeeds('the floors hold', scratch.run('npx tsx scripts/floors.ts'))
  succeeds('the table of what works is written', scratch.run('npx tsx scripts/support.ts'))
  const row = scratch
    .read('docs/support.md')
    .split('\n')
    .find((line) => line.includes(`\`${primitive.name}\``))
  check('the table has the primitive on all devices', /^(\| [^|]+ ){1}(\| kernel ){3}/.test(row ?? ''), row)
  return succeeds('the addon is built', scratch.run('node scripts/build-native.mjs --quiet'))
}

const types = 'node node_modules/typescript-7/bin/tsc --noEmit --incremental --tsBuildInfoFile build/types.json'

/**
 * The kind of a test, whatever its operator: its titles with a dot for the operator's name, and without the case's
 * name.
 */
function kindOf({ file, titles }: Test, name: string): string | null {
  if (!titles.some((title) => title.includes(name))) return null
  const texts = titles.map((title) => title.replaceAll(name, '•').replace(/(: •): .*/s, '$1'))
  return [file, ...texts].join(' > ')
}

function lookInTests(): void {
  const names = operators.flatMap(({ name, like }) => [name, like])
  const tests = scratch.test(['tests/suites', 'tests/guards', 'tests/unit'], names.join('|'))
  const own = (name: string) => tests.filter(({ titles }) => titles.some((title) => title.includes(name)))
  for (const { name, like } of operators) {
    const wrong = own(name).filter(({ status }) => status !== 'passed')
    check(
      `${own(name).length} tests of ${name} pass`,
      own(name).length > 50 && wrong.length === 0,
      wrong
        .slice(0, 20)
        .map(({ file, titles, failure }) => `${file}: ${titles.join(' > ')}: ${failure.slice(0, 500)}`)
        .join('\n'),
    )
    const kinds = (of: string) => new Set(tests.flatMap((test) => kindOf(test, of) ?? []))
    const tried = kinds(name)
    for (const kind of kinds(like)) {
      const excuse = notTried.find(({ of }) => of.test(kind))
      check(`${name}, as ${like}: ${kind}`, excuse ? !tried.has(kind) : tried.has(kind), excuse?.because)
    }
  }
  for (const folder of ['tests/suites', 'tests/guards'])
    for (const file of readdirSync(join(root, folder)).filter((name) => name.endsWith('.test.ts')))
      for (const operator of operators) {
        const { name } = operator
        const count = own(name).filter((test) => test.file === `${folder}/${file}`).length
        const reason =
          nameless[`${folder}/${file}`] ?? (operator === composite ? ofKernels[`${folder}/${file}`] : undefined)
        check(
          `${folder}/${file} has ${count} tests of ${name}${reason ? `, because it has ${reason}` : ''}`,
          count > 0 === (reason === undefined),
        )
      }
}

/** Other users of the table and the cases: native tests, kernels of CUDA, fuzzers. */
function lookElsewhere(): void {
  succeeds(
    'the native test of the family passes',
    scratch.run(`ADDON=build/Release TESTS=elementwise bash scripts/native-tests.sh`),
  )
  const tests = [...scratch.test(['tests/suites/coverage.test.ts', 'tests/cuda'], ''), ...scratch.test(metas, atOnce)]
  const wrong = tests.filter(({ status }) => status === 'failed')
  check(
    'what looks at all operators at once passes',
    tests.length > 0 && wrong.length === 0,
    wrong.map(({ titles, failure }) => `${titles.join(' > ')}: ${failure}`).join('\n'),
  )
  scratch.apply([...edits, ...witnesses])
  const file = join(scratch.folder, 'build/witness')
  for (const fuzzer of readdirSync(join(root, 'tests/fuzz')).filter((name) => name.endsWith('.ts'))) {
    if (!/process\.argv/.test(scratch.read(`tests/fuzz/${fuzzer}`))) continue
    const [args, reason] = fuzzers[fuzzer] ?? []
    if (args === null) {
      console.log(`left out tests/fuzz/${fuzzer}, because it ${reason}`)
      continue
    }
    scratch.run(`: > ${file}`)
    const { ok, output } = scratch.run(`npx tsx tests/fuzz/${fuzzer} ${args}`, {
      FIRESTEEL_WITNESS: file,
      NODE_OPTIONS: `--import ${join(scratch.folder, 'tests/addition/witness.mjs')}`,
    })
    const called = scratch.read('build/witness')
    check(
      `tests/fuzz/${fuzzer} calls both`,
      ok && operators.every(({ name }) => called.includes(name)),
      output.slice(-2000),
    )
  }
  scratch.apply(edits)
}

/** Tests that look at all operators at once. */
const metas = [
  'tests/suites/zero-sizes.test.ts',
  'tests/guards/hostile.test.ts',
  'tests/unit/options.test.ts',
  'tests/unit/native-kernels.test.ts',
]
const atOnce = '^(every|covers|finds|coverage|an option that there is not finds|kernels of the table)'

/** The first check that notices a missing part, or null. */
function missing(part: Edit): string | null {
  if (!scratch.run(types).ok) return 'the types'
  if (!scratch.run('npx tsx scripts/support.ts --check').ok) return 'the table of what works'
  const failed = scratch
    .test(['tests/suites/coverage.test.ts', ...metas], atOnce)
    .find(({ status }) => status === 'failed')
  if (failed) return failed.titles.join(' > ') || failed.file
  if (!part.file.startsWith('native/cpu')) return null
  const { ok } = scratch.run('node scripts/build-native.mjs --quiet && npx tsx scripts/available-isas.ts')
  return ok ? null : 'the addon'
}

function leaveOut(): void {
  // Kernels come last, because without one of them the later parts have no addon.
  const inAddon = ({ file }: Edit) => Number(file.startsWith('native/cpu'))
  for (const part of [...edits].sort((a, b) => inAddon(a) - inAddon(b))) {
    scratch.apply(edits.filter((each) => each !== part))
    const by = missing(part)
    const what = `${part.file} without ${JSON.stringify(part.text.trim().slice(0, 50))}`
    if (part.unmissed) check(`${what} is missed by nothing, because ${part.unmissed}`, by === null, `${by} misses it`)
    else check(`${what} is missed by ${by}`, by !== null)
  }
}

try {
  if (contribute()) {
    lookInTests()
    lookElsewhere()
    if (!process.argv.includes('--found')) leaveOut()
  }
} finally {
  if (process.argv.includes('--keep')) console.log(`the copy is ${scratch.folder}`)
  else scratch.remove()
}
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0
