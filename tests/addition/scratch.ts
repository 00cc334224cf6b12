/** A copy of the working tree to add operators to, and commands that are run in it. */
import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Edit } from './edits.js'

const root = fileURLToPath(new URL('../../', import.meta.url))

export interface Ended {
  readonly ok: boolean
  readonly output: string
}

/** A test that ran, or that should have run. */
export interface Test {
  readonly file: string
  /** The titles of the groups around it, and its own. */
  readonly titles: readonly string[]
  readonly status: string
  readonly failure: string
}

export class Scratch {
  readonly folder = mkdtempSync(join(tmpdir(), 'firesteel-addition-'))
  readonly #originals = new Map<string, string>()

  /** Copies what git knows and what is new; modules are those that are installed. */
  constructor() {
    const { stdout, status } = spawnSync('git', ['ls-files', '-coz', '--exclude-standard'], {
      cwd: root,
      encoding: 'utf8',
    })
    if (status !== 0) throw new Error('git cannot list the files of the working tree')
    for (const file of stdout.split('\0')) {
      if (file === '' || !existsSync(join(root, file))) continue
      mkdirSync(dirname(join(this.folder, file)), { recursive: true })
      copyFileSync(join(root, file), join(this.folder, file))
    }
    symlinkSync(join(root, 'node_modules'), join(this.folder, 'node_modules'))
  }

  read(file: string): string {
    return readFileSync(join(this.folder, file), 'utf8')
  }

  /** Restores the files, except for these edits, each of which has one place. */
  apply(edits: readonly Edit[]): void {
    const texts = new Map(this.#originals)
    for (const { file, behind, text } of edits) {
      if (!this.#originals.has(file)) this.#originals.set(file, this.read(file))
      const before = texts.get(file) ?? (this.#originals.get(file) as string)
      if (before.split(behind).length !== 2) throw new Error(`${file} does not hold this once: ${behind}`)
      texts.set(
        file,
        before.replace(behind, () => behind + text),
      )
    }
    for (const [file, text] of texts) if (this.read(file) !== text) writeFileSync(join(this.folder, file), text)
  }

  run(command: string, env: { readonly [name: string]: string } = {}): Ended {
    const { status, stdout, stderr } = spawnSync('bash', ['-c', command], {
      cwd: this.folder,
      encoding: 'utf8',
      maxBuffer: 2 ** 30,
      env: { ...process.env, FIRESTEEL_REQUIRE: 'native', CCACHE_BASEDIR: this.folder, CCACHE_NOHASHDIR: '1', ...env },
    })
    return { ok: status === 0, output: stdout + stderr }
  }

  /** Runs the tests of some files whose full names match, and reports all of them. */
  test(files: readonly string[], pattern: string): readonly Test[] {
    const report = join(this.folder, 'build/tests.json')
    rmSync(report, { force: true })
    const { output } = this.run(
      `npx vitest run ${files.join(' ')} -t '${pattern}' --reporter=json --outputFile=${report}`,
    )
    if (!existsSync(report)) throw new Error(`vitest ended without a report:\n${output}`)
    const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as {
      readonly testResults: readonly {
        readonly name: string
        readonly status: string
        readonly message: string
        readonly assertionResults: readonly {
          readonly ancestorTitles: readonly string[]
          readonly title: string
          readonly status: string
          readonly failureMessages?: readonly string[] | null
        }[]
      }[]
    }
    return testResults.flatMap(({ name, status, message, assertionResults }): Test[] => {
      const file = name.slice(name.lastIndexOf('/tests/') + 1)
      if (assertionResults.length === 0) return [{ file, titles: [], status, failure: message }]
      return assertionResults.map(({ ancestorTitles, title, status, failureMessages }) => ({
        file,
        titles: [...ancestorTitles, title],
        status,
        failure: failureMessages?.[0] ?? '',
      }))
    })
  }

  remove(): void {
    rmSync(this.folder, { recursive: true })
  }
}
