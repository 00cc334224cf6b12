/**
 * Peers: processes that time one call of a workload for each name that they receive (peers/torch_bench.py describes the
 * protocol).
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { ServedPeer } from './served.js'
import type { Check, Workload } from './work.js'

const here = fileURLToPath(new URL('./peers/', import.meta.url))
const root = fileURLToPath(new URL('../', import.meta.url))

/** By default, glibc returns large blocks to the system after every use, which costs PyTorch up to half its speed. */
export const memorySettings = {
  THP_MEM_ALLOC_ENABLE: '1',
  MALLOC_MMAP_THRESHOLD_: '8589934592',
  MALLOC_TRIM_THRESHOLD_: '8589934592',
  MALLOC_TOP_PAD_: '268435456',
} as const

/**
 * The variables that limit the peers to an instruction set, as FIRESTEEL_ISA limits the library. PyTorch's own kernels,
 * oneDNN, MKL and OpenBLAS each have their own. There are none for null, or for a set that the peers have no name for.
 */
export function instructionSetSettings(isa: string | null): { readonly [name: string]: string } {
  const names = { avx2: ['avx2', 'AVX2', 'AVX2', 'Haswell'], base: ['default', 'SSE41', 'SSE4_2', 'Nehalem'] }
  const [aten, onednn, mkl, openblas] = names[isa as keyof typeof names] ?? []
  if (aten === undefined || onednn === undefined || mkl === undefined || openblas === undefined) return {}
  return {
    ATEN_CPU_CAPABILITY: aten,
    ONEDNN_MAX_CPU_ISA: onednn,
    MKL_ENABLE_INSTRUCTIONS: mkl,
    OPENBLAS_CORETYPE: openblas,
  }
}

export interface PeerRow {
  readonly name: string
  /** Seconds of this call. */
  readonly best: number
  readonly check: Check
}

export interface PeerPlace {
  /** torch_bench.py, or a folder that contains it. */
  readonly script: string
  /** A Python that has PyTorch. null: .peers/venv, which is made if it is missing. */
  readonly python: string | null
}

/** Finds the peer's program and its Python. Makes the environment in .peers/ if there is none. */
export function findPeer({ script, python }: PeerPlace): { readonly script: string; readonly python: string } {
  const path = script.endsWith('.py') ? resolve(script) : resolve(script, 'torch_bench.py')
  if (!existsSync(path)) throw new Error(`there is no ${path}; FIRESTEEL_PEERS must name torch_bench.py or its folder`)
  if (python !== null) {
    if (!existsSync(python)) throw new Error(`there is no ${python}; give --python an interpreter that has PyTorch`)
    return { script: path, python: resolve(python) }
  }
  const made = `${root}.peers/venv/bin/python`
  if (!existsSync(made)) {
    const beside = resolve(dirname(path), 'setup.sh')
    const setup = existsSync(beside) ? beside : `${here}setup.sh`
    console.error(`making .peers/ with ${setup} (once; it downloads PyTorch)`)
    const { status } = spawnSync('bash', [setup, `${root}.peers`], { stdio: ['ignore', 2, 2] })
    if (status !== 0) throw new Error(`${setup} failed; give --python an interpreter that already has PyTorch`)
  }
  return { script: path, python: made }
}

export const defaultScript = here

export class Peer extends ServedPeer {
  constructor(
    where: { readonly script: string; readonly python: string },
    threads: number,
    workloads: string,
    environment: { readonly [name: string]: string },
  ) {
    super(where.python, [where.script, '--serve', '--threads', String(threads), '--workloads', workloads], environment)
  }

  /** Times one call of a workload. The first call for a name also builds, checks and warms up. */
  time(name: string): Promise<PeerRow> {
    return this.ask(name)
  }
}

export type PeerName = 'torch' | 'torchTuned' | 'openblas'

/** The pause before the other's turn, in which threads that spin after their work go to sleep. */
export const pauseMilliseconds = 10
/** The limit of a sample's time, because of which a peer that is much slower than the others makes fewer calls. */
const mostMilliseconds = 200

/** PyTorch by default and with the memory settings, and OpenBLAS for the workloads that it can run. */
export class Peers {
  readonly #peers: Map<PeerName, Peer>

  /** `isa` is the instruction set to which they are limited, or null. */
  constructor(place: PeerPlace, threads: number, workloads: string, isa: string | null) {
    const torch = findPeer(place)
    const openblas = { script: `${here}openblas_bench.py`, python: torch.python }
    const held = instructionSetSettings(isa)
    this.#peers = new Map([
      ['torch', new Peer(torch, threads, workloads, held)],
      ['torchTuned', new Peer(torch, threads, workloads, { ...held, ...memorySettings })],
      ['openblas', new Peer(openblas, threads, workloads, held)],
    ])
  }

  /** The peers that can run this workload. */
  of({ kind, dtype = 'f32' }: Workload): readonly PeerName[] {
    const names = [...this.#peers.keys()]
    return kind === 'matmul' && dtype === 'f32' ? names : names.filter((name) => name !== 'openblas')
  }

  /** The least of this many calls, or of as many as take a fifth of a second. Null if OpenBLAS is not available. */
  async sample(peer: PeerName, workload: string, calls: number): Promise<PeerRow | null> {
    const process = this.#peers.get(peer)
    if (process === undefined) return null
    try {
      await sleep(pauseMilliseconds)
      const until = performance.now() + mostMilliseconds
      let best = await process.time(workload)
      for (let i = 1; i < calls && performance.now() < until; i++) {
        const row = await process.time(workload)
        if (row.best < best.best) best = row
      }
      return best
    } catch (error) {
      if (peer !== 'openblas') throw error
      console.log(`OpenBLAS: not available (${(error as Error).message.split('\n').at(-1)})`)
      this.#peers.delete(peer)
      return null
    }
  }

  /** Calls a workload for some time, so that everything that gets compiled or cached on the way is. */
  async warmUp(peer: PeerName, workload: string, seconds: number): Promise<void> {
    const until = performance.now() + seconds * 1000
    while (performance.now() < until && (await this.sample(peer, workload, 10)) !== null);
  }

  close(): void {
    for (const peer of this.#peers.values()) peer.close()
  }
}
