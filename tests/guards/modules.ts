/** Sound calls of modules, of their states, and of containers. */
import * as f from '../../lib/index.js'
import type { PublicCall } from '../cases/sound.js'
import { collector } from './collect.js'

const { nn } = f
const { entries, add } = collector()

export const model = () => new nn.Sequential(new nn.Linear(3, 4), new nn.ReLU(), new nn.Linear(4, 2))
add(
  'loadStateDict',
  (state, options) => model().loadStateDict(state, options),
  () => [model().stateDict(), { strict: true }],
)
add('loadStateDict', nn.loadStateDict, () => [model(), model().stateDict(), {}])
add('stateDict', nn.stateDict, () => [model()])
add(
  'to',
  (target) => model().to(target),
  () => ['float32'],
)
add(
  'train',
  (mode) => model().train(mode),
  () => [true],
)
add(
  'requiresGrad_',
  (value) => model().requiresGrad_(value),
  () => [false],
)
add(
  'apply',
  (fn) => model().apply(fn),
  () => [() => {}],
)
add(
  'summary',
  (shape, options) => model().summary(shape, options),
  () => [[2, 3], { dtype: 'float32' }],
  'linear',
)
add(
  'Sequential.for',
  (example, layer) => nn.Sequential.for(example, layer),
  () => [[4], new nn.Linear(4, 2)],
  'Sequential',
  'linear',
)
add(
  'append',
  (layer) => model().append(layer),
  () => [new nn.ReLU()],
  'Sequential',
)
add(
  'append',
  (layer) => new nn.ModuleList().append(layer),
  () => [new nn.ReLU()],
  'ModuleList',
)
add(
  'at',
  (index) => model().at(index),
  () => [0],
  'Sequential',
)
for (const method of ['set', 'insert'] as const)
  add(
    method,
    (index, layer) => model()[method](index, layer),
    () => [0, new nn.ReLU()],
    'Sequential',
    'Sequential.set',
    'Sequential.insert',
  )
add(
  'extend',
  (layers) => model().extend(layers),
  () => [[new nn.ReLU()]],
  'Sequential',
)
add(
  'pop',
  (index) => model().pop(index),
  () => [1],
  'Sequential.pop',
)
add(
  'slice',
  (start, end) => model().slice(start, end),
  () => [0, 2],
  'Sequential.slice',
)
const dictionary = () => new nn.ModuleDict<{ [name: string]: f.nn.Module }>({ a: new nn.Linear(2, 2) })
add(
  'get',
  (key) => dictionary().get(key),
  () => ['a'],
  'ModuleDict.get',
)
add(
  'set',
  (key, module) => dictionary().set(key, module),
  () => ['b', new nn.ReLU()],
  'ModuleDict',
)

add('blocksOf', nn.blocksOf, () => [model()])

export const moduleCalls: readonly PublicCall[] = entries
