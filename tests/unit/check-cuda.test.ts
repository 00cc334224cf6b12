/**
 * The program that checks a machine with a GPU (scripts/check-cuda/run.py), with a shell script in place of Node. Nobody
 * may come back to such a machine, so no part that crashes, hangs or is stopped may lose the results of the others.
 */
import { spawn, spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))
const workload = { name: 'matmul 8', kind: 'matmul', mode: 'float32', sizes: { n: 8 }, predicted: null, measured: 2 }
const bench = JSON.stringify({ device: 'CUDA kernels: fake', losses: [], workloads: [workload] })

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'firesteel-check-'))
  copyFileSync(`${root}scripts/check-cuda/run.py`, join(folder, 'run.py'))
})
afterEach(() => rmSync(folder, { recursive: true }))

/** Puts a script in the place of Node, with a branch for each program. */
function actAs(branches: { readonly [program: string]: string }): void {
  const cases = Object.entries(branches).map(([program, commands]) => `*${program}*) ${commands} ;;`)
  const text = `#!/bin/sh\ncase "$*" in\n*describeDevice*) echo 'CUDA kernels: Fake GPU' ;;\n${cases.join('\n')}\nesac\n`
  writeFileSync(join(folder, 'node'), text, { mode: 0o755 })
}

interface Part {
  readonly part: string
  readonly state: string
  readonly said: readonly string[]
}

function resultsOf(name: string) {
  const read = (ending: string) => readFileSync(join(folder, 'results', `${name}.${ending}`), 'utf8')
  const content = JSON.parse(read('json')) as { parts: Part[]; workloads: (typeof workload)[] }
  const states = Object.fromEntries(content.parts.map(({ part, state }) => [part, state]))
  return { content, states, page: read('md') }
}

const start = (...args: string[]) => ['-B', join(folder, 'run.py'), ...args]

test('a part that crashes, hangs or writes half a file leaves the results of the others', () => {
  actAs({
    goldens: 'kill -SEGV $$',
    'kernels.js': 'echo begun; sleep 60 & sleep 60',
    'cases.js': "echo 'Error: no such kernel'; echo later; exit 1",
    'products.js': 'echo 7 products',
    'cuda-process': `printf '%s' '${bench}' > "$2"`,
  })
  // PyTorch is killed while it writes.
  const torch =
    'import os, sys\nopen(sys.argv[1] + ".new", "w").write("{")\nprint("half", flush=True)\nos.kill(os.getpid(), 9)\n'
  writeFileSync(join(folder, 'torch_cuda.py'), torch)
  const only = 'goldens,kernels,cases,products,bench,torch,tensors'
  const { status } = spawnSync('python3', start('--slower', '0.05', '--only', only), { encoding: 'utf8' })
  const { content, states, page } = resultsOf('cuda-fake-gpu')
  expect(states).toEqual({
    ...{ device: 'passed', goldens: 'failed', kernels: 'cut off', cases: 'failed', products: 'passed' },
    ...{ tensors: 'passed', bench: 'passed', torch: 'failed' },
  })
  expect(status).toBe(1)
  const said = (part: string) => content.parts.find((each) => each.part === part)?.said.at(-1)
  expect(said('goldens')).toMatch(/exit code -11/)
  expect(said('kernels')).toBe('begun')
  expect(said('cases')).toBe('Error: no such kernel')
  expect(content.workloads).toEqual([workload])
  expect(page).toContain('| matmul 8, float32 |')
  expect(readdirSync(join(folder, 'results')).toSorted()).toEqual([
    'bench.json',
    'bench.json.new',
    'cuda-fake-gpu.json',
    'cuda-fake-gpu.md',
  ])
}, 30_000)

test('a program that is stopped leaves what it has, and ends what it has started', async () => {
  actAs({ goldens: 'echo all right', 'kernels.js': 'echo $$ > alive; sleep 60' })
  const program = spawn('python3', start('--only', 'goldens,kernels,cases'))
  while (!existsSync(join(folder, 'alive')) || readFileSync(join(folder, 'alive'), 'utf8') === '') await sleep(20)
  const pid = Number(readFileSync(join(folder, 'alive'), 'utf8'))
  program.kill('SIGTERM')
  const status = await new Promise((resolve) => program.on('close', resolve))
  expect(status).toBe(1)
  const { content, states } = resultsOf('cuda-fake-gpu')
  expect(states).toEqual({ device: 'passed', goldens: 'passed', 'the rest': 'cut off' })
  expect(content.parts.at(-1)?.said).toEqual(['this program got SIGTERM'])
  expect(() => process.kill(pid, 0)).toThrow()
}, 30_000)

test('no part runs once the time of all is over, and none without a GPU', () => {
  actAs({ goldens: 'echo there' })
  const args = start('--slower', '0', '--only', 'goldens')
  spawnSync('python3', args)
  expect(resultsOf('cuda-unknown-gpu').states).toEqual({ device: 'skipped' })
  writeFileSync(join(folder, 'node'), '#!/bin/sh\necho "[device] there is no NVIDIA driver"; exit 1\n', { mode: 0o755 })
  const { status } = spawnSync('python3', start('--only', 'goldens'))
  expect(status).toBe(1)
  const { content, states } = resultsOf('cuda-unknown-gpu')
  expect(states).toEqual({ device: 'failed' })
  expect(content.parts[0]?.said.at(-1)).toContain('there is no NVIDIA driver')
})
