/**
 * Recurrent layers and scans whose behaviour depends on data, not sizes: lengths, padding, truncation. The expected
 * numbers are those of PyTorch 2.13 in float64 for packed sequences. Parameter k of a layer holds sin(0.7 i + k) / 2,
 * and x holds sin(1.3 i). The loss is the sum of output * cos(0.3 i) and of the squares of the last state.
 */
import { describe, expect, it } from 'vitest'
import {
  fromTypedArray,
  mul,
  nn,
  noGrad,
  recurrent,
  sum,
  type Tensor,
  tensor,
  ValueError,
  zeros,
} from '../../lib/index.js'

const torch = {
  lstm: {
    output: [
      0.09074016, 0.1322409, -0.2762857, -0.3255295, 0.09021512, 0.1287425, -0.3193672, -0.3809879, 0.09483717,
      0.1261826, -0.2066593, -0.2170806, 0.1233589, 0.1881269, -0.2044523, -0.2206347, 0.1185926, 0.1891778, -0.3047393,
      -0.3620973, 0, 0, 0, 0, 0, 0, 0, 0, 0.1185118, 0.2337954, -0.276485, -0.3208702, 0, 0, 0, 0, 0, 0, 0, 0,
      0.1289718, 0.2457035, -0.2026028, -0.2229344, 0, 0, 0, 0,
    ],
    h: [
      -0.4019829, 0.07223098, -0.4299784, 0.05896832, -0.1334182, -0.1133822, -0.03425741, -0.2612012, 0.09799689,
      -0.1102058, 0.02045792, -0.02106565, 0.1233589, 0.1881269, 0.1289718, 0.2457035, 0.09483717, 0.1261826,
      -0.2762857, -0.3255295, -0.3193672, -0.3809879, -0.2066593, -0.2170806,
    ],
    c: [
      -0.6649853, 0.1141705, -0.7112139, 0.0953308, -0.271726, -0.1629837, -0.1033183, -0.7643525, 0.3938654, -0.387463,
      0.06221856, -0.08604002, 0.1913345, 0.3436142, 0.2051861, 0.4533771, 0.1409077, 0.230491, -0.6507409, -0.5712898,
      -0.8092143, -0.6525954, -0.4520129, -0.3789931,
    ],
    grad: [
      0.3676998, 0.3342117, 0.1495182, 0.01702844, 0.1469586, -0.01516465, 0.2991344, 0.2575236, 0.2417518, 0.04130356,
      0, 0, 0, 0, 0.196105, 0.03860357, 0, 0, 0, 0, 0.2865647, 0.1643566, 0, 0,
    ],
    gradWeight: [
      -0.1894203, -0.057944, -0.007151724, -0.002341066, -0.120725, -0.04287563, -0.0001285098, 0.0012328, 0.2939605,
      0.1195369, -0.08083912, -0.004873993, -0.05049658, -0.007364546, -0.002525438, -0.001540144,
    ],
  },
  gru: {
    output: [
      -0.3919952, 0.1464917, -0.02577731, -0.2899734, -0.3970834, -0.299555, 0.2632495, -0.08186604, -0.2416975,
      -0.2942267, 0.05569308, -0.0004035851, -0.6056081, 0.1172283, 0.001559252, -0.1675809, -0.4116754, -0.5301346,
      0.2352996, 0.04276623, 0, 0, 0, 0, 0, 0, 0, 0, -0.4874489, -0.4165892, -0.002955332, -0.2076688, 0, 0, 0, 0, 0, 0,
      0, 0, -0.6474987, 0.01929456, -0.03010136, -0.1738672, 0, 0, 0, 0,
    ],
    h: [
      -0.6056081, 0.1172283, -0.6474987, 0.01929456, -0.2416975, -0.2942267, -0.02577731, -0.2899734, 0.2632495,
      -0.08186604, 0.05569308, -0.0004035851,
    ],
    grad: [
      0.1784182, 0.2317628, 0.05472153, 0.05350903, 0.2509884, -0.01251906, 0.02617026, -0.15538, -0.124834, -0.2177473,
      0, 0, 0, 0, 0.1429119, 0.08710397, 0, 0, 0, 0, 0.3014435, 0.3784257, 0, 0,
    ],
    gradWeight: [
      -0.03096664, -0.01563802, 0.01758206, 0.01415229, 0.09005796, -0.005418946, 0.03115478, 0.02350404, 0.2305662,
      0.0403383, -0.1110432, -0.1907983,
    ],
  },
  rnn: {
    output: [
      0.6834605, 0.3493016, 0.2946704, -0.09379437, 0.5331249, -0.3745296, 0.7964194, 0.6732105, 0.3427798, -0.598255,
      0, 0, 0, 0, 0.5137741, 0.01543798, 0, 0, 0, 0, 0.7680339, 0.6938908, 0, 0,
    ],
    h: [0.7964194, 0.6732105, 0.7680339, 0.6938908, 0.5331249, -0.3745296],
    grad: [
      0.5245528, 0.6938742, 0.1880123, 0.302052, -0.2873434, 0.07767761, 0.2267336, 0.359481, -0.2425002, -0.3595053, 0,
      0, 0, 0, 0.1588955, 0.2242025, 0, 0, 0, 0, 0.6100075, 0.8641034, 0, 0,
    ],
    gradWeight: [0.8232457, 0.07518521, 0.9160854, 0.03308301],
  },
}

const [T, B, I, H] = [4, 3, 2, 2]
const lengths = [2, 4, 1]

describe.each(['cpu', 'reference'])('recurrent layers on %s', (device) => {
  const make = (shape: readonly number[], at: (i: number) => number): Tensor => {
    const count = shape.reduce((a, b) => a * b, 1)
    return fromTypedArray(
      Float32Array.from({ length: count }, (_, i) => at(i)),
      shape,
      { device },
    )
  }
  const fill = <M extends nn.Module>(layer: M): M => {
    noGrad(() =>
      layer.namedParameters().forEach(([, p], k) => void p.copy_(make(p.shape, (i) => Math.sin(i * 0.7 + k) * 0.5))),
    )
    return layer
  }
  const close = (actual: Tensor | null | undefined, expected: readonly number[], what: string) => {
    const values = [...(actual as Tensor).dataSync()]
    expect(values, what).toHaveLength(expected.length)
    values.forEach(
      (value, i) => void expect(Math.abs(value - (expected[i] as number)), `${what} ${i}`).toBeLessThan(5e-6),
    )
  }
  const sequence = () => {
    const x = make([T, B, I], (i) => Math.sin(i * 1.3))
    x.requiresGrad = true
    return x
  }
  const layers = {
    lstm: () => new nn.LSTM(I, H, { numLayers: 2, bidirectional: true, device }),
    gru: () => new nn.GRU(I, H, { bidirectional: true, device }),
    rnn: () => new nn.RNN(I, H, { device }),
  }
  const run = (layer: nn.Module, x: Tensor, given: readonly number[] | Tensor = lengths) => {
    const called = (layer as nn.GRU).forward(x, undefined, { lengths: given })
    return { output: called.output, states: [called.state].flat() as Tensor[] }
  }
  const backward = ({ output, states }: ReturnType<typeof run>) => {
    let loss = sum(
      mul(
        output,
        make(output.shape, (i) => Math.cos(i * 0.3)),
      ),
    ) as Tensor
    for (const state of states) loss = loss.add(sum(mul(state, state)))
    loss.backward()
  }

  describe.each(['lstm', 'gru', 'rnn'] as const)('%s', (name) => {
    it.each(['a list', 'a tensor'])('with lengths in %s is as one of packed sequences', (form) => {
      const [layer, x, expected] = [fill(layers[name]()), sequence(), torch[name]]
      const given = form === 'a list' ? lengths : tensor(lengths, { dtype: 'int32', device })
      const result = run(layer, x, given)
      close(result.output, expected.output, 'output')
      close(result.states[0], expected.h, 'h')
      if ('c' in expected) close(result.states[1], expected.c, 'c')
      backward(result)
      close(x.grad, expected.grad, 'gradient of x')
      close(new Map(layer.namedParameters()).get('weight_hh_l0')?.grad, expected.gradWeight, 'gradient of a weight')
    })

    it('lets nothing of the padding reach a result or a gradient', () => {
      const [layer, clean, dirty] = [fill(layers[name]()), sequence(), sequence()]
      noGrad(() => {
        for (const [b, length] of lengths.entries())
          for (let t = length; t < T; t++)
            dirty
              .select(0, t)
              .select(0, b)
              .fill_(t % 2 === 0 ? Number.NaN : Infinity)
      })
      const [want, got] = [run(layer, clean), run(layer, dirty)]
      expect([...got.output.dataSync()]).toEqual([...want.output.dataSync()])
      for (const [i, state] of got.states.entries())
        expect([...state.dataSync()]).toEqual([...(want.states[i] as Tensor).dataSync()])
      backward(want)
      const expected = layer.namedParameters().map(([, p]) => [...(p.grad as Tensor).dataSync()])
      layer.zeroGrad()
      backward(got)
      expect(layer.namedParameters().map(([, p]) => [...(p.grad as Tensor).dataSync()])).toEqual(expected)
      expect([...(dirty.grad as Tensor).dataSync()]).toEqual([...(clean.grad as Tensor).dataSync()])
    })

    it('tells of lengths in a tensor that no sequence can have', () => {
      const layer = name.toUpperCase()
      for (const bad of [0, T + 1, -1]) {
        const given = tensor([1, bad, 2], { dtype: 'int32', device })
        const call = () => run(fill(layers[name]()), sequence(), given).output.dataSync()
        expect(call).toThrow(ValueError)
        expect(call).toThrow(`[${name}] the length of sequence 1 is ${bad}, but must be from 1 to 4 (in ${layer}`)
      }
      // The device still works afterwards.
      close(run(fill(layers[name]()), sequence()).output, torch[name].output, 'output')
    })
  })

  it('walk with any cell as the layer does', () => {
    const layer = fill(new nn.GRU(I, H, { device }))
    const cell = new nn.GRUCell(I, H, { device })
    const [own, others] = [cell.namedParameters(), layer.namedParameters()]
    noGrad(() => own.forEach(([, p], i) => void p.copy_(others[i]?.[1] as Tensor)))
    const walked = new nn.Recurrent(cell).forward(sequence(), undefined, { lengths })
    const { output, state } = layer.forward(sequence(), undefined, { lengths })
    close(walked.output, [...output.dataSync()], 'output')
    close(walked.state, [...state.dataSync()], 'state')
  })

  it('take lengths in the place of a state, and refuse what is neither', () => {
    const recurrents = {
      LSTM: new nn.LSTM(I, H, { device }),
      GRU: new nn.GRU(I, H, { device }),
      RNN: new nn.RNN(I, H, { device }),
      Recurrent: new nn.Recurrent(new nn.GRUCell(I, H, { device })),
    }
    for (const [name, layer] of Object.entries(recurrents)) {
      const call = (...args: readonly unknown[]) =>
        (layer.forward as (x: Tensor, ...rest: readonly unknown[]) => nn.RecurrentResult)(sequence(), ...args)
      const [own, other] = [call({ lengths }), call(undefined, { lengths })]
      expect([...own.output.dataSync()]).toEqual([...other.output.dataSync()])
      expect([...own.output.dataSync()]).not.toEqual([...call().output.dataSync()])
      expect([...call({}).output.dataSync()]).toEqual([...call().output.dataSync()])
      expect(() => call({ length: lengths })).toThrow(`[${name}] there is no option length; there are lengths`)
      expect(() => call({ lengths }, { lengths })).toThrow(`[${name}] the initial state is an object, but must be`)
    }
  })

  it('truncate gradients where they are told to', () => {
    const w = () => tensor([0.9], { requiresGrad: true, device })
    const x = make([5, 1], (i) => 1 + i)
    const at = (weight: Tensor) => (part: Tensor, h: Tensor) => h.mul(weight).add(part)
    const initial = zeros([1], { device })
    const [whole, cut, byHand] = [w(), w(), w()]
    recurrent(at(whole), x, { initial }).output.sum().backward()
    recurrent(at(cut), x, { initial, truncate: 2 }).output.sum().backward()
    let h: Tensor = initial
    let total: Tensor = zeros([1], { device })
    for (let t = 0; t < 5; t++) {
      if (t % 2 === 0) h = h.detach()
      h = at(byHand)(x.select(0, t), h)
      total = total.add(h)
    }
    total.sum().backward()
    expect(cut.grad?.item()).toBeCloseTo(byHand.grad?.item() as number, 4)
    // Through all steps: d/dw of the sum over t of x(s) w^(t - s).
    let through = 0
    for (let t = 0; t < 5; t++) for (let s = 0; s < t; s++) through += (1 + s) * (t - s) * 0.9 ** (t - s - 1)
    expect(whole.grad?.item()).toBeCloseTo(through, 4)
    expect(Math.abs((cut.grad?.item() as number) - through)).toBeGreaterThan(1)
  })
})
