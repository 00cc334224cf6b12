/**
 * The rows of recurrence: one layer, one direction, all time steps. Gates of an LSTM are i, f, g, o, of a GRU r, z, n.
 * They allow only float32, because the kernels take nothing else.
 */
import type { StridedView } from '../../core/device.js'
import { countOf } from '../../core/shape.js'
import { float, row, size } from './grammar.js'

type Sized = Pick<StridedView, 'sizes'>

const forwardCost = ({ x, wIh, wHh }: { readonly x: Sized; readonly wIh: Sized; readonly wHh: Sized }): number =>
  size(x.sizes, 0) * size(x.sizes, 1) * (countOf(wIh.sizes) + countOf(wHh.sizes))

interface Backward {
  readonly x: Sized
  readonly wIh: Sized
  readonly wHh: Sized
  readonly dx: unknown
  readonly dwIh: unknown
  readonly dwHh: unknown
}

const backwardCost = ({ x, wIh, wHh, dx, dwIh, dwHh }: Backward): number => {
  const input = (dx === null ? 0 : 1) + (dwIh === null ? 0 : 1)
  const recurrent = 1 + (dwHh === null ? 0 : 1)
  return size(x.sizes, 0) * size(x.sizes, 1) * (input * countOf(wIh.sizes) + recurrent * countOf(wHh.sizes))
}

const givenForward = { wIh: 'in T', wHh: 'in T', bIh: 'in? T', bHh: 'in? T', lengths: 'in? int32' } as const
const gradients = {
  dx: 'out? T',
  dh0: 'out? T',
  dwIh: 'out? T',
  dwHh: 'out? T',
  dbIh: 'out? T',
  dbHh: 'out? T',
} as const
const givenBackward = {
  dy: 'in? T',
  dhn: 'in? T',
  x: 'in T',
  h0: 'in? T',
  wIh: 'in T',
  wHh: 'in T',
  lengths: 'in? int32',
  out: 'in T',
} as const

export const recurrent = {
  /** out[t, b] = t < lengths[b]; a length outside of 1 to T is recorded as an error. out [T, B], lengths [B] */
  sequence_mask: row({ out: 'out bool', lengths: 'in int32' }, { calledAs: 'lengths', optional: true }),
  /**
   * x [T, B, I] -> out [T, B, H], hn and cn [B, H]. wIh [4H, I], wHh [4H, H], biases [4H]; h0, c0 [B, H] or null for 0.
   * gates [T, B, 4H] (activated) and cells [T, B, H] are kept for backward, and are null if nothing wants a gradient.
   * Steps from lengths [B] on give 0 in out and leave the state; lengths are clamped to [0, T]. With reverse time runs
   * from the end, and hn, cn are the state after step 0.
   */
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
      ...givenForward,
      reverse: 'flag',
    },
    {
      calledAs: 'lstm',
      T: float,
      precision: 'float32',
      multiplyAdds(args) {
        return forwardCost(args)
      },
    },
  ),
  /** dbias [4H] is the gradient of both bIh and bHh; dy, dhn, dcn may be null (0) */
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
      lengths: 'in? int32',
      out: 'in T',
      gates: 'in T',
      cells: 'in T',
      reverse: 'flag',
    },
    {
      calledAs: 'lstm backward',
      T: float,
      multiplyAdds(args) {
        return backwardCost(args)
      },
    },
  ),
  /**
   * x [T, B, I] -> out [T, B, H], hn [B, H]. wIh [3H, I], wHh [3H, H], biases [3H]; h0 [B, H] or null for 0. gates [T,
   * B, 4H] are kept for backward: r, z, n, and the state's part of n before r is applied. They are null if nothing
   * wants a gradient. lengths and reverse as in lstm_forward.
   */
  gru_forward: row(
    { out: 'out T', hn: 'out T', gates: 'out? T', x: 'in T', h0: 'in? T', ...givenForward, reverse: 'flag' },
    {
      calledAs: 'gru',
      T: float,
      precision: 'float32',
      multiplyAdds(args) {
        return forwardCost(args)
      },
    },
  ),
  /** dbIh and dbHh [3H] differ in n; dy, dhn may be null (0) */
  gru_backward: row(
    { ...gradients, ...givenBackward, gates: 'in T', reverse: 'flag' },
    {
      calledAs: 'gru backward',
      T: float,
      multiplyAdds(args) {
        return backwardCost(args)
      },
    },
  ),
  /**
   * h = tanh(x wIh^T + bIh + h' wHh^T + bHh), or relu of it. x [T, B, I] -> out [T, B, H], hn [B, H]. wIh [H, I], wHh
   * [H, H], biases [H]; h0 [B, H] or null for 0. lengths and reverse as in lstm_forward.
   */
  rnn_forward: row(
    { out: 'out T', hn: 'out T', x: 'in T', h0: 'in? T', ...givenForward, relu: 'flag', reverse: 'flag' },
    {
      calledAs: 'rnn',
      T: float,
      precision: 'float32',
      multiplyAdds(args) {
        return forwardCost(args)
      },
    },
  ),
  /** dbIh and dbHh [H] are the same numbers; dy, dhn may be null (0) */
  rnn_backward: row(
    { ...gradients, ...givenBackward, relu: 'flag', reverse: 'flag' },
    {
      calledAs: 'rnn backward',
      T: float,
      multiplyAdds(args) {
        return backwardCost(args)
      },
    },
  ),
} as const
