/**
 * The binary of this platform's package against the build of the checkout, in turns: whether the published binary is as
 * fast. It compares processor time on one thread, the least of all turns. Exit code 1 if a row is slower by more than
 * 3%. Usage: npm run check:speed [-- REGEX of workloads]; the default is the four that another compiler had made
 * slower.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { packageOf, platformName } from '../../lib/backend/native/platforms.js'
import { packagesFolder } from './manifests.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
/** The seconds of measurement for each row and binary. Short rows need many turns. */
const budget = { milliseconds: 1500, least: 8, most: 60 }
const mostLoss = 1.03
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
 * Lays out the library like an installation, with a binary where the loader looks first. Returns the program's path.
 */
async function layOut(folder: string, source: string, binary: string): Promise<string> {
  const own = join(folder, 'node_modules/firesteel')
  mkdirSync(own, { recursive: true })
  copyFileSync(join(root, 'package.json'), join(own, 'package.json'))
  const target = join(folder, binary)
  mkdirSync(dirname(target), { recursive: true })
  symlinkSync(source, target)
  const program = join(own, 'rows.mjs')
  const entry = join(root, 'scripts/package/speed-rows.ts')
  await build({
    entryPoints: [entry],
    outfile: program,
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['cli-progress'],
  })
  return program
}

const pattern = process.argv[2] === undefined ? formerlySlow : new RegExp(process.argv[2])
const name = packageOf(platformName())
const shipped = join(packagesFolder, name)
if (!existsSync(join(shipped, 'firesteel.node'))) throw new Error('there is no package: run `npm run prebuild`')
const work = mkdtempSync(join(tmpdir(), 'firesteel-speed-'))
const sides: Side[] = []
try {
  const local = join(root, 'build/Release/firesteel.node')
  sides.push(
    new Side(await layOut(join(work, 'local'), local, 'node_modules/firesteel/build/Release/firesteel.node')),
    new Side(await layOut(join(work, 'shipped'), shipped, `node_modules/${name}`)),
  )
  const paths = await Promise.all(sides.map((side) => side.ask('path')))
  if (!paths[1]?.includes(name) || paths[0]?.includes(name)) throw new Error(`other binaries than meant: ${paths}`)
  const names = (JSON.parse((await sides[0]?.ask('names')) ?? '') as string[]).filter((each) => pattern.test(each))
  if (names.length === 0) throw new Error(`no workload matches ${pattern}`)
  for (const row of names) {
    const least = sides.map(() => Number.POSITIVE_INFINITY)
    const wanted = budget.milliseconds / Number(await sides[0]?.ask(row))
    const turns = Math.min(budget.most, Math.max(budget.least, wanted))
    for (let turn = 0; turn < turns; turn++)
      for (const [i, side] of sides.entries()) least[i] = Math.min(least[i] ?? 0, Number(await side.ask(row)))
    const [locally = 0, there = 0] = least
    const ratio = there / locally
    const told = [locally, there].map((each) => `${each.toFixed(2)} ms`).join(' locally, ')
    console.log(`${row.padEnd(32)} ${told} shipped, ${ratio.toFixed(3)} times${ratio > mostLoss ? ': SLOWER' : ''}`)
    if (!(ratio <= mostLoss)) process.exitCode = 1
  }
} finally {
  for (const side of sides) side.end()
  rmSync(work, { recursive: true, force: true })
}
