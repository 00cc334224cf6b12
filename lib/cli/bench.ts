/** `firesteel bench`: a few operators and a training step on every device that is there, side by side. */
import { device as findDevice, unavailable } from '../backend/devices.js'
import type { Device } from '../core/device.js'
import { DeviceError } from '../core/errors.js'
import { scope } from '../core/scope.js'
import type { Tensor } from '../core/tensor.js'
import * as nn from '../nn/index.js'
import { add, conv2d, matmul, ones, randint, randn, scaledDotProductAttention } from '../ops/index.js'
import { AdamW } from '../optim/index.js'

interface Workload {
  readonly name: string
  /** The function to time, with its tensors on the device. */
  readonly make: (device: Device) => () => void
}

function backwardFromOnes(out: Tensor): void {
  out.backward({ gradient: ones(out.shape, { device: out.device }) })
}

const workloads: readonly Workload[] = [
  {
    name: 'add 16, 1000 times',
    make(device) {
      const [a, b] = [randn([16], { device }), randn([16], { device })]
      return () => {
        for (let i = 0; i < 1000; i++) add(a, b)
      }
    },
  },
  {
    name: 'matmul 256',
    make(device) {
      const [a, b] = [randn([256, 256], { device }), randn([256, 256], { device })]
      return () => void matmul(a, b)
    },
  },
  {
    name: 'conv 3x3 8x32x28x28 and back',
    make(device) {
      const x = randn([8, 32, 28, 28], { device, requiresGrad: true })
      const weight = randn([32, 32, 3, 3], { device, requiresGrad: true })
      return () => backwardFromOnes(conv2d(x, weight, null, { padding: 1 }))
    },
  },
  {
    name: 'lstm 32x8x64 to 64 and back',
    make(device) {
      const layer = new nn.LSTM(64, 64, { device })
      const x = randn([32, 8, 64], { device })
      return () => backwardFromOnes(layer.forward(x).output)
    },
  },
  {
    name: 'attention 4x128x32 and back',
    make(device) {
      const input = () => randn([1, 4, 128, 32], { device, requiresGrad: true })
      const [q, k, v] = [input(), input(), input()]
      return () => backwardFromOnes(scaledDotProductAttention(q, k, v, { isCausal: true }))
    },
  },
  {
    name: 'training step, 784-128-10',
    make(device) {
      const model = new nn.Sequential(
        new nn.Linear(784, 128, { device }),
        new nn.ReLU(),
        new nn.Linear(128, 10, { device }),
      )
      const optimizer = new AdamW(model.parameters(), { lr: 1e-3 })
      const x = randn([64, 784], { device })
      const labels = randint(0, 10, [64], { device })
      return () => {
        optimizer.zeroGrad()
        nn.functional.crossEntropy(model.forward(x), labels).backward()
        optimizer.step()
      }
    },
  },
]

/** Seconds of a call and the wait for the device: the least of several, after some to warm up. */
function best(device: Device, run: () => void): number {
  const sample = () => {
    const started = performance.now()
    scope(run)
    device.synchronize()
    return (performance.now() - started) / 1000
  }
  const until = performance.now() + 300
  let least = sample()
  for (let i = 0; i < 3 || (performance.now() < until && i < 1000); i++) least = Math.min(least, sample())
  return least
}

function format(seconds: number): string {
  return seconds >= 1e-3 ? `${(seconds * 1e3).toFixed(2)} ms` : `${(seconds * 1e6).toFixed(1)} us`
}

/** The time on a device, or that it lacks a kernel for it. */
function cell(device: Device, make: Workload['make']): string {
  try {
    return format(best(device, make(device)))
  } catch (error) {
    if (error instanceof DeviceError) return 'no kernel'
    throw error
  }
}

/** Prints a line for each workload. */
export function bench(print: (line: string) => void): void {
  const names = ['reference', 'cpu', 'cuda']
  const devices = names.filter((name) => unavailable(name) === null).map((name) => findDevice(name))
  for (const name of names) {
    const reason = unavailable(name)
    if (reason !== null) print(`${name}: not there (${reason})`)
  }
  print(`${'workload'.padEnd(30)}${devices.map(({ name }) => name.padStart(14)).join('')}`)
  for (const { name, make } of workloads) {
    const cells = devices.map((device) => cell(device, make).padStart(14))
    print(`${name.padEnd(30)}${cells.join('')}`)
  }
}
