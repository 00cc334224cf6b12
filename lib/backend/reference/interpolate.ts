/** Resampling along the rows and columns of planes: each result is a weighted sum of terms that a table lists. */
import type { KernelArguments, Kernels } from '../table/index.js'
import type { HostView } from './view.js'

/** Calls f with the place, relative to the first one, and the weight of each term of result r. */
type Terms = (r: number, f: (position: number, weight: number) => void) => void

function termsOf(taps: HostView | null, weights: HostView | null, results: number): Terms {
  if (taps === null || weights === null) return (r, f) => f(r, 1)
  const { data, offset } = taps
  const index = offset + results + 1
  return (r, f) => {
    const end = data[offset + r + 1] as number
    for (let k = data[offset + r] as number; k < end; k++)
      f(data[index + k] as number, weights.data[weights.offset + k] as number)
  }
}

function resample(args: KernelArguments<'resample', HostView>): void {
  const { out, x } = args
  const [planes = 0, H = 0, W = 0] = x.shape
  const [, P = 0, Q = 0] = out.shape
  const rows = termsOf(args.rowTaps, args.rowWeights, P)
  const columns = termsOf(args.columnTaps, args.columnWeights, Q)
  let at = out.offset
  for (let plane = 0; plane < planes; plane++) {
    const base = x.offset + plane * H * W
    for (let p = 0; p < P; p++) {
      for (let q = 0; q < Q; q++, at++) {
        // The sum begins with the first term itself, because a sum that begins with 0 can never be -0.
        let sum: number | null = null
        rows(p, (h, down) => {
          columns(q, (w, across) => {
            const term = down * (across * (x.data[base + h * W + w] as number))
            sum = sum === null ? term : sum + term
          })
        })
        out.data[at] = sum ?? 0
      }
    }
  }
}

export const interpolate = { resample } satisfies Pick<Kernels<HostView>, 'resample'>
