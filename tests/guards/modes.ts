/** Sound calls of optimisers' steps and states, and of the process's state: random numbers, modes, memory, devices. */
import * as f from '../../lib/index.js'
import { type PublicCall, t } from '../cases/sound.js'
import { collector } from './collect.js'
import { model } from './modules.js'

const { nn, optim } = f
const { entries, add, make } = collector()

const stepped = (m = model()) => {
  m.forward(t(2, 3)).sum().backward()
  return m
}
const sgd = () => new optim.SGD(stepped().parameters(), { lr: 0.1, momentum: 0.9 })
add(
  'addParamGroup',
  (group) => sgd().addParamGroup(group),
  () => [{ params: model().parameters(), lr: 0.2 }],
  'SGD',
)
add(
  'loadStateDict',
  (state) => sgd().loadStateDict(state),
  () => {
    const other = sgd()
    other.step()
    return [other.stateDict()]
  },
  'SGD',
)
add(
  'step',
  (x) => {
    const p = new nn.Parameter(t(2, 3))
    p.grad = x
    new optim.Adam([p]).step()
  },
  () => [t(2, 3)],
  'Adam',
  'grad',
)
add(
  'loadStateDict',
  (state) => new optim.LinearLR(sgd()).loadStateDict(state),
  () => [new optim.LinearLR(sgd()).stateDict()],
  'LinearLR',
)
add('zeroGrad', f.zeroGrad, () => [[new nn.Parameter(t(2))]])

// Randomness, modes, memory.
make('Generator', f.Generator, () => [1])
add(
  'loadStateDict',
  (state) => new f.Generator(1).loadStateDict(state),
  () => [new f.Generator(2).stateDict()],
  'Generator',
)
add('randomState', nn.randomState, () => [model()])
add('loadRandomState', nn.loadRandomState, () => [model(), nn.randomState(model())], 'Generator')
add('manualSeed', f.manualSeed, () => [1])
add('autocast', f.autocast, () => ['bfloat16', () => 1])
add('noGrad', f.noGrad, () => [() => 1])
add('enableGrad', f.enableGrad, () => [() => 1])
add('scope', f.scope, () => [() => 1])
add('checkpoint', f.checkpoint, () => [(x: f.Tensor) => f.exp(x), t(2)], 'exp')
add('keep', f.keep, () => [t(2)])
add('customOperator', f.customOperator as never, () => [
  {
    name: 'twice',
    forward: (_: unknown, x: f.Tensor) => ({ output: x.mul(2), saved: null }),
    backward: (_: unknown, g: f.Tensor) => [g.mul(2)],
    precision: 'widest',
  },
])
add('trace', f.trace, () => [() => f.rand([2]).exp()])
add('savedForBackward', f.savedForBackward, () => [f.rand([2], { requiresGrad: true }).exp()])
add('device', f.device, () => ['cpu'])
add(
  'threads',
  (count) => {
    const cpu = f.device('cpu') as unknown as { threads: unknown }
    const before = cpu.threads
    try {
      cpu.threads = count
    } finally {
      cpu.threads = before
    }
  },
  () => [2],
)
add(
  'setDefaultDevice',
  (device) => {
    const before = f.defaultDevice()
    try {
      f.setDefaultDevice(device)
    } finally {
      f.setDefaultDevice(before)
    }
  },
  () => ['cpu'],
  'device',
)

add(
  'setFloat32MatmulPrecision',
  (precision) => {
    const before = f.getFloat32MatmulPrecision()
    try {
      f.setFloat32MatmulPrecision(precision)
    } finally {
      f.setFloat32MatmulPrecision(before)
    }
  },
  () => ['high'],
)

export const modeCalls: readonly PublicCall[] = entries
