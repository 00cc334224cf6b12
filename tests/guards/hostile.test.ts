/**
 * Calls every public function, constructor and method of the package and of the subpaths that need no model with
 * hostile arguments.
 */
import './memory.js'
import { expect, it } from 'vitest'
import { allCalls, exported } from './calls.js'
import { guardCalls } from './guard.js'

/** Exports that take nothing that could be wrong, or that are not meant to be called. */
const excused: { readonly [name: string]: string } = {
  Tensor: 'tensors come from functions',
  Module: 'abstract',
  Adaptable: 'abstract',
  Adapter: 'abstract',
  LoraAdapter: 'abstract',
  Optimizer: 'abstract',
  Schedule: 'abstract',
  Dataset: 'abstract',
  NpyDataset: 'npy makes it',
  TokenShards: 'openShards makes it',
  RunningMean: 'covered by accuracy',
  Generator: 'called below under its own name',
  mnist: 'takes nothing',
  defaultDevice: 'takes nothing',
  defaultGenerator: 'takes nothing',
  getFloat32MatmulPrecision: 'takes nothing',
  captureGraph: 'needs a GPU; tests/cuda/graph.ts calls it',
  CudaGraph: 'captureGraph makes it',
  isGradEnabled: 'takes nothing',
  isRecomputing: 'takes nothing',
  memory: 'covered by device',
  resetPeakMemory: 'covered by device',
  describeDevice: 'covered by device',
  unavailable: 'tells why a device is missing, whatever its name',
  std: 'called as std',
  variance: 'called under the name of the method',
}

it('every export is called', () => {
  const called = new Set(allCalls.flatMap(({ names }) => names))
  const isError = (name: string) => name.endsWith('Error')
  expect(exported().filter((name) => !called.has(name) && !excused[name] && !isError(name))).toEqual([])
})

guardCalls(allCalls, 10_000)
