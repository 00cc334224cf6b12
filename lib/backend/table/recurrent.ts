/**
 * The rows of recurrence: one layer, one direction, all time steps; gates i, f, g, o. float32 alone, because the kernels
 * take nothing else.
 */
import { countOf } from '../../core/shape.js'
import { float, row, size } from './grammar.js'

export const recurrent = {
  /** x [T, B, I] -> out [T, B, H], hn and cn [B, H]. wIh [4H, I], wHh [4H, H], biases [4H]; h0, c0 [B, H] or null for 0.
   * gates [T, B, 4H] (activated) and cells [T, B, H] are kept for backward; null when nothing wants a gradient.
   * reverse: time runs from the end; hn, cn are then the state after step 0. */
  lstm_forward: row(
    {
      out: 'out T',
      hn: 'out T',
      cn: 'out T',
      gates: 'out? T',
      cells: 'out? T',
      x: 'in T',
      h0: 'in? T',
      c0: 'in? T',
      wIh: 'in T',
      wHh: 'in T',
      bIh: 'in? T',
      bHh: 'in? T',
      reverse: 'flag',
    },
    {
      calledAs: 'lstm',
      T: float,
      precision: 'float32',
      multiplyAdds: ({ x, wIh, wHh }) =>
        size(x.sizes, 0) * size(x.sizes, 1) * (countOf(wIh.sizes) + countOf(wHh.sizes)),
    },
  ),
  /** dbias [4H] is the gradient of bIh and of bHh alike; dy, dhn, dcn may be null (0) */
  lstm_backward: row(
    {
      dx: 'out? T',
      dh0: 'out? T',
      dc0: 'out? T',
      dwIh: 'out? T',
      dwHh: 'out? T',
      dbias: 'out? T',
      dy: 'in? T',
      dhn: 'in? T',
      dcn: 'in? T',
      x: 'in T',
      h0: 'in? T',
      c0: 'in? T',
      wIh: 'in T',
      wHh: 'in T',
      out: 'in T',
      gates: 'in T',
      cells: 'in T',
      reverse: 'flag',
    },
    {
      calledAs: 'lstm backward',
      T: float,
      multiplyAdds({ x, wIh, wHh, dx, dwIh, dwHh }) {
        const input = (dx === null ? 0 : 1) + (dwIh === null ? 0 : 1)
        const recurrent = 1 + (dwHh === null ? 0 : 1)
        return size(x.sizes, 0) * size(x.sizes, 1) * (input * countOf(wIh.sizes) + recurrent * countOf(wHh.sizes))
      },
    },
  ),
} as const
