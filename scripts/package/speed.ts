/**
 * Two builds in turns, compared by processor time on one thread, the least of all turns. Exit code 1 if a row is slower
 * by more than 3%. Usage: npm run check:speed [-- REGEX of workloads] [-- --before FOLDER].
 *
 * By default it asks whether the binary of this platform's package is as fast as the build of the checkout, on the four
 * workloads that another compiler had made slower. With --before it asks whether this checkout is as fast as the one in
 * FOLDER, which needs its own build and node_modules.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { build } from 'esbuild'
import { packageOf, platformName } from '../../lib/backend/native/platforms.js'
import { packagesFolder } from './manifests.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
/** The seconds of measurement for each row and binary. Short rows need many turns. */
const budget = { milliseconds: 1500, least: 8, most: 60 }
const mostLoss = 1.03
/** The rounds of turns for a row that seems slower. A round of noise passes, and a slower kernel stays slower. */
const mostRounds = 4
const formerlySlow = /^(cross_entropy|train_cnn|train_gpt_char$|matmul_bf16)/

/** A program with one of the binaries, which times a workload whenever it reads a name. */
class Side {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #answers: NodeJS.AsyncIterator<string>

  constructor(program: string) {
    const env = { ...process.env, FIRESTEEL_THREADS: '1', FIRESTEEL_REQUIRE: 'native' }
    this.#child = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'], env })
    this.#answers = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
  }

  async ask(question: string): Promise<string> {
    this.#child.stdin.write(`${question}\n`)
    const { value, done } = await this.#answers.next()
    if (done) throw new Error(`the program ended before it had answered ${question}`)
    return value
  }

  end(): void {
    this.#child.stdin.end()
  }
}

/**
 * Lays out the library of a checkout like an installation, with a binary where the loader looks first. Returns the
 * program's path. The program is this checkout's, so that both sides measure alike.
 */
async function layOut(folder: string, checkout: string, source: string, binary: string): Promise<string> {
  const own = join(folder, 'node_modules/firesteel')
  mkdirSync(own, { recursive: true })
  copyFileSync(join(checkout, 'package.json'), join(own, 'package.json'))
  const target = join(folder, binary)
  mkdirSync(dirname(target), { recursive: true })
  symlinkSync(source, target)
  const program = join(own, 'rows.mjs')
  const contents = readFileSync(join(root, 'scripts/package/speed-rows.ts'), 'utf8')
  await build({
    stdin: { contents, loader: 'ts', resolveDir: join(checkout, 'scripts/package'), sourcefile: 'speed-rows.ts' },
    absWorkingDir: checkout,
    outfile: program,
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['cli-progress'],
  })
  return program
}

const { values, positionals } = parseArgs({ options: { before: { type: 'string' } }, allowPositionals: true })
const everything = /(?:)/
const [first] = positionals
const pattern = first !== undefined ? new RegExp(first) : values.before === undefined ? formerlySlow : everything
const work = mkdtempSync(join(tmpdir(), 'firesteel-speed-'))
const sides: Side[] = []

/** Starts the program with the binary that was built in a checkout. */
async function built(name: string, checkout: string): Promise<Side> {
  const source = join(checkout, 'build/Release/firesteel.node')
  if (!existsSync(source)) throw new Error(`there is no build in ${checkout}: run \`npm install\` there`)
  const binary = 'node_modules/firesteel/build/Release/firesteel.node'
  return new Side(await layOut(join(work, name), checkout, source, binary))
}

/** Starts the program with the binary of this platform's package. */
async function shipped(): Promise<Side> {
  const name = packageOf(platformName())
  const source = join(packagesFolder, name)
  if (!existsSync(join(source, 'firesteel.node'))) throw new Error('there is no package: run `npm run prebuild`')
  const side = new Side(await layOut(join(work, 'shipped'), root, source, `node_modules/${name}`))
  const path = await side.ask('path')
  if (!path.includes(name)) throw new Error(`the package's binary was meant, and ${path} was loaded`)
  return side
}

try {
  const here = await built('here', root)
  sides.push(here)
  // The second side of the two is the one that may not be slower.
  if (values.before === undefined) sides.push(await shipped())
  else sides.unshift(await built('before', resolve(values.before)))
  const called = values.before === undefined ? ['built here', 'shipped'] : ['before', 'now']
  const names = (JSON.parse(await here.ask('names')) as string[]).filter((each) => pattern.test(each))
  if (names.length === 0) throw new Error(`no workload matches ${pattern}`)
  for (const row of names) {
    const least = sides.map(() => Number.POSITIVE_INFINITY)
    const wanted = budget.milliseconds / Number(await sides[0]?.ask(row))
    const turns = Math.min(budget.most, Math.max(budget.least, wanted))
    let ratio = Number.POSITIVE_INFINITY
    for (let round = 0; round < mostRounds && !(ratio <= mostLoss); round++) {
      for (let turn = 0; turn < turns; turn++)
        for (const [i, side] of sides.entries()) least[i] = Math.min(least[i] ?? 0, Number(await side.ask(row)))
      const [basis = 0, judged = 0] = least
      ratio = judged / basis
    }
    const told = least.map((each, i) => `${each.toFixed(3)} ms ${called[i]}`).join(', ')
    console.log(`${row.padEnd(32)} ${told}, ${ratio.toFixed(3)} times${ratio > mostLoss ? ': SLOWER' : ''}`)
    if (!(ratio <= mostLoss)) process.exitCode = 1
  }
} finally {
  for (const side of sides) side.end()
  rmSync(work, { recursive: true, force: true })
}
