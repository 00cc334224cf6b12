/** The memory that a training takes beyond its model, ours and PyTorch's, each in its own process. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { findPeer, memorySettings, type PeerPlace } from './peers.js'

const execute = promisify(execFile)
const here = fileURLToPath(new URL('./', import.meta.url))

export interface Growth {
  /** The most bytes by which the process grew from the model's creation on. */
  readonly growth: number
}

export interface OwnMemory extends Growth {
  /** The memory that the allocator has from the system, and the largest sum of live tensors. */
  readonly reserved: number
  readonly tensors: number
}

export interface MemoryUse extends OwnMemory {
  readonly torchGrowth: number
  readonly torchTunedGrowth: number
}

async function run<R>(program: string, args: readonly string[], environment: object = {}): Promise<R> {
  const { stdout } = await execute(program, args, { env: { ...process.env, ...environment } })
  return JSON.parse(stdout) as R
}

/** Trains a few steps of a workload with each. Only Linux reports the growth, so this fails elsewhere. */
export async function measureMemory(
  name: string,
  workloads: string,
  threads: number,
  place: PeerPlace,
): Promise<MemoryUse> {
  const { script, python } = findPeer(place)
  const theirs = [`${here}peers/torch_memory.py`, script, workloads, name, String(threads)]
  const own = ['--expose-gc', '--import', 'tsx', `${here}memory-process.ts`, workloads, name, String(threads)]
  const ours = await run<OwnMemory>(process.execPath, own)
  const torch = await run<Growth>(python, theirs)
  const tuned = await run<Growth>(python, theirs, memorySettings)
  return { ...ours, torchGrowth: torch.growth, torchTunedGrowth: tuned.growth }
}
