/** L-BFGS against PyTorch's losses, and what its steps refuse, resume and free. */
import { describe, expect, it } from 'vitest'
import {
  cat,
  type Device,
  manualSeed,
  memory,
  nn,
  noGrad,
  ones,
  optim,
  randn,
  StateDictError,
  scope,
  type Tensor,
  Trainer,
  tensor,
  ValueError,
} from '../../lib/index.js'
import { devices, reference } from '../suites/support.js'

/** Rosenbrock's function of six numbers, which are in two tensors. */
function rosenbrock(options: Partial<optim.LbfgsOptions>, device: Device, dtype: 'float32' | 'float64' = 'float64') {
  const x = tensor([-1.2, 1, 0.5, -0.7], { requiresGrad: true, device, dtype })
  const y = tensor([[1.5], [-0.5]], { requiresGrad: true, device, dtype })
  const optimizer = new optim.LBFGS([x, y], options)
  let calls = 0
  const closure = () => {
    calls++
    optimizer.zeroGrad()
    const all: Tensor = cat([x, y.reshape([-1])])
    const [a, b] = [all.slice([0, 5]), all.slice([1, 6])]
    const loss = b.sub(a.square()).square().mul(100).add(a.sub(1).square()).sum()
    loss.backward()
    return loss
  }
  const losses = (steps: number) => Array.from({ length: steps }, () => optimizer.step(closure).item())
  const places = () => [...x.detach().dataSync(), ...y.detach().dataSync()]
  return { optimizer, closure, losses, places, calls: () => calls }
}

/** The losses, evaluations and first two parameters of torch.optim.LBFGS 2.13 in float64. */
const torch: readonly (readonly [Partial<optim.LbfgsOptions>, readonly number[], number, readonly number[]])[] = [
  [
    { lineSearchFn: 'strongWolfe', maxIter: 4 },
    [1001.1, 18.210403790129465, 5.567498379094095, 5.543413740241723, 5.3174643875281555, 4.750739089184108],
    30,
    [-0.9367964162411886, 0.889681087178982],
  ],
  [
    { lineSearchFn: 'strongWolfe', maxIter: 20, maxEval: 6, historySize: 2 },
    [1001.1, 10.981883991106688, 5.563391209022743, 5.481986110363054, 5.0052919806085345, 4.666762569151615],
    38,
    [-0.9361546619283331, 0.8901117944217242],
  ],
  [
    { lr: 0.01, maxIter: 3 },
    [1001.1, 976.0781897161017, 951.4497886935532, 926.4249044875035, 901.3276864259891, 876.3512957451993],
    18,
    [-1.176769620622398, 0.9792352392133982],
  ],
  [{ lineSearchFn: 'strongWolfe' }, [1001.1, 4.599661352848398, 3.9739405010224904], 45, [-0.9865754343016518]],
]

describe('LBFGS', () => {
  it.each(torch)('takes the steps of PyTorch with %o', (options, losses, calls, place) => {
    const run = rosenbrock(options, reference)
    const found = run.losses(losses.length)
    for (const [i, loss] of losses.entries()) expect(Math.abs((found[i] as number) / loss - 1)).toBeLessThan(1e-8)
    for (const [i, x] of place.entries()) expect(run.places()[i]).toBeCloseTo(x, 6)
    expect(run.calls()).toBe(calls)
  })

  it.each(devices)('finds a minimum in float32 on $name, also within scope and under noGrad', (device) => {
    const run = rosenbrock({ lineSearchFn: 'strongWolfe' }, device, 'float32')
    scope(() => run.losses(1))
    expect(noGrad(() => run.losses(3)).at(-1)).toBeCloseTo(3.97394, 4)
  })

  it('bounds the line search by maxEval, as PyTorch 2.13 does', () => {
    const counts = [2, 3, 5].map((maxEval) => {
      const w = new nn.Parameter(tensor([1, -1]))
      const optimizer = new optim.LBFGS([w], { lr: 1e-4, maxIter: 1, maxEval, lineSearchFn: 'strongWolfe' })
      let calls = 0
      optimizer.step(() => {
        calls++
        w.grad = null
        const loss = w.square().sum()
        loss.backward()
        return loss
      })
      return calls
    })
    expect(counts).toEqual([3, 4, 6])
  })

  it('resumes to the same numbers', () => {
    const run = rosenbrock({ lineSearchFn: 'strongWolfe', maxIter: 3 }, reference)
    run.losses(2)
    const other = rosenbrock({ lr: 0.5 }, reference)
    noGrad(() => {
      for (const [i, parameter] of other.optimizer.parameters().entries())
        parameter.copy_(run.optimizer.parameters()[i] as Tensor)
    })
    other.optimizer.loadStateDict(run.optimizer.stateDict())
    expect(other.losses(3)).toEqual(run.losses(3))
    expect(other.optimizer.options).toEqual(run.optimizer.options)
  })

  it('refuses a state that does not fit, and keeps its own', () => {
    const run = rosenbrock({ maxIter: 3 }, reference)
    run.losses(1)
    const before = run.optimizer.stateDict()
    const wrong = new Map([...before.tensors].filter(([name]) => name !== 'changes.0')).set('direction', tensor([1, 2]))
    const load = () => run.optimizer.loadStateDict({ ...before, scale: Number.NaN, tensors: wrong })
    expect(load).toThrow(StateDictError)
    expect(load).toThrow(/scale is NaN.*missing: changes\.0.*direction is float32 \[2\], but must be floats \[6\]/s)
    expect(run.optimizer.stateDict()).toEqual(before)
  })

  it('refuses closures that return no loss, groups, and losses that are not finite', () => {
    const x = tensor([1, 2], { requiresGrad: true })
    const optimizer = new optim.LBFGS([x])
    expect(() => optimizer.step(undefined as never)).toThrow('the closure is undefined, but must be a function')
    expect(() => optimizer.step(() => undefined as never)).toThrow('the closure returned undefined')
    expect(() => optimizer.step(() => x.mul(2))).toThrow('the closure returned [2], but must return the loss')
    expect(() => optimizer.step((async () => x.sum()) as never)).toThrow(ValueError)
    expect(() => optimizer.step(() => x.sum().log().mul(Number.NaN))).toThrow('the loss is NaN')
    expect(() => new optim.LBFGS([{ params: [x] }] as never)).toThrow('pass one list instead of groups')
    expect(() => new optim.LBFGS([x], { maxIter: 0, lineSearchFn: 'armijo' as never })).toThrow(/maxIter.*lineSearchFn/)
    expect(() => new optim.LBFGS([x], { maxIters: 3 } as never)).toThrow('maxIter')
  })

  it('survives a line search over losses that are not finite', () => {
    const x = tensor([0.01], { requiresGrad: true, dtype: 'float64', device: reference })
    const optimizer = new optim.LBFGS([x], { lineSearchFn: 'strongWolfe', lr: 100 })
    const closure = () => {
      optimizer.zeroGrad()
      const loss = x.log().neg().add(x.mul(4)).sum()
      loss.backward()
      return loss
    }
    for (let i = 0; i < 5; i++) optimizer.step(closure)
    expect(x.detach().item()).toBeCloseTo(0.25, 6)
  })

  it('steps neither frozen parameters nor those without a gradient', () => {
    manualSeed(0)
    const model = new nn.Sequential(new nn.Linear(2, 3), new nn.Linear(3, 1))
    const idle = new nn.Linear(2, 2)
    model.slice(0, 1).requiresGrad_(false)
    const parameters = [...model.parameters(), ...idle.parameters()]
    const before = parameters.map((parameter) => [...parameter.detach().dataSync()])
    const optimizer = new optim.LBFGS(parameters, { lineSearchFn: 'strongWolfe' })
    const [x, y] = [randn([8, 2]), randn([8, 1])]
    optimizer.step(() => {
      optimizer.zeroGrad()
      const loss = nn.functional.mseLoss(model.forward(x), y)
      loss.backward()
      return loss
    })
    const moved = parameters.map((parameter, i) => String([...parameter.detach().dataSync()]) !== String(before[i]))
    expect(moved).toEqual([false, false, true, true, false, false])
  })

  it('refuses a function that returns a promise, and parameters that were disposed', () => {
    const model = new nn.Linear(2, 1)
    const optimizer = new optim.LBFGS(model.parameters())
    const later = (async () => ones([1])) as unknown as () => Tensor
    expect(() => optimizer.step(later)).toThrow(/^\[LBFGS\.step\] the function returned a promise/)
    model.weight.dispose()
    expect(() => optimizer.step(() => ones([1]))).toThrow(/^\[LBFGS\.step\] weight was used after its memory was freed/)
  })

  it('is refused by the Trainer, which evaluates a batch once', () => {
    const model = new nn.Linear(2, 1)
    const optimizer = new optim.LBFGS(model.parameters()) as unknown as optim.Optimizer
    expect(() => new Trainer(model, { optimizer, loss: nn.functional.mseLoss })).toThrow(/cannot train with LBFGS/)
  })

  it('holds no more tensors than its history', () => {
    const run = rosenbrock({ lineSearchFn: 'strongWolfe', maxIter: 2, historySize: 2, toleranceChange: 0 }, reference)
    run.losses(3)
    const held = () => run.optimizer.stateDict().tensors.size
    expect(held()).toBe(6)
    const before = memory('reference').tensors
    scope(() => run.losses(10))
    expect(held()).toBe(6)
    expect(memory('reference').tensors - before).toBeLessThan(60)
  })
})
