/** Settings of functions that order elements, among which are ties and NaN. */
import * as f from '../../../lib/index.js'
import { named, snake } from './images.js'
import { type Choices, type Given, keywords, type Setting } from './setting.js'

/** Few different numbers, so that many are equal, and perhaps NaN and infinities. */
function tied(draw: Choices, shape: readonly number[], wanted: boolean, mayBeNaN = true): Given {
  const odd = mayBeNaN && draw.chance(0.4)
  const one = () =>
    odd && draw.chance(0.3)
      ? draw.pick([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
      : draw.integer(-2, 2)
  return draw.given(shape, 'float', one, wanted)
}

export function sorted(draw: Choices): Setting {
  const shape = draw.shape(1, 3, 7)
  const dim = draw.dim(shape.length)
  const size = shape.at(dim) as number
  const k = draw.integer(1, size)
  const keepdim = draw.flag() ? { keepdim: draw.flag() } : {}
  type Results = f.Tensor | readonly f.Tensor[]
  const setting = (python: string, inputs: readonly Given[], call: (...x: f.Tensor[]) => Results): Setting => ({
    python,
    inputs,
    call: (x) => call(...x),
  })
  const plain = tied(draw, shape, false)
  const right = draw.flag()
  const line = tied(draw, [draw.integer(1, 9)], false, false)
  const rising = { ...line, values: [...line.values].sort((a, b) => a - b) }
  return draw.pick<() => Setting>([
    () => {
      const descending = draw.flag()
      return setting(
        `torch.sort(x0, dim=${dim}${keywords({ descending })}, stable=True)`,
        [tied(draw, shape, true)],
        (x) => f.sort(x, dim, { descending }),
      )
    },
    () => {
      const descending = draw.flag()
      return setting(`torch.argsort(x0, dim=${dim}${keywords({ descending })}, stable=True)`, [plain], (x) =>
        f.argsort(x, dim, { descending }),
      )
    },
    // The places of elements that are equal are free in these, so that only the elements are compared.
    () => {
      const largest = draw.flag()
      return setting(
        `torch.topk(x0, ${k}, ${dim}${keywords({ largest })})[0]`,
        [plain],
        (x) => named('topk')(x, k, dim, { largest }).slice(0, 1) as unknown as readonly f.Tensor[],
      )
    },
    () =>
      setting(`torch.kthvalue(x0, ${k}, ${dim}${keywords(keepdim)})[0]`, [plain], (x) =>
        f.kthvalue(x, k, dim, keepdim).slice(0, 1),
      ),
    () => {
      const name = draw.pick(['median', 'nanmedian'] as const)
      if (draw.chance(0.3)) return setting(`torch.${name}(x0)`, [plain], (x) => f[name](x))
      return setting(`torch.${name}(x0, ${dim}${keywords(keepdim)})[0]`, [plain], (x) =>
        f[name](x, dim, keepdim).slice(0, 1),
      )
    },
    // PyTorch's mode of NaN is another NaN for each, or none.
    () =>
      setting(`torch.mode(x0, ${dim}${keywords(keepdim)})[0]`, [tied(draw, shape, false, false)], (x) =>
        f.mode(x, dim, keepdim).slice(0, 1),
      ),
    () => {
      const name = draw.pick(['quantile', 'nanquantile'] as const)
      const interpolation = draw.pick(['linear', 'lower', 'higher', 'nearest', 'midpoint'] as const)
      const q = draw.pick([0, 0.25, 0.4, 0.5, 1])
      const options = { ...keepdim, interpolation }
      // Infinities are left out: what lies between two of them is NaN in one form of a line and infinite in another.
      const x = tied(draw, shape, false, false)
      const values = x.values.map((value) => (draw.chance(0.1) ? Number.NaN : value))
      return setting(`torch.${name}(x0, ${q}, ${dim}${keywords(options)})`, [{ ...x, values }], (x) =>
        f[name](x, q, dim, options),
      )
    },
    () => {
      const name = draw.pick(['unique', 'uniqueConsecutive'] as const)
      const x = tied(draw, shape, false, false)
      const more = draw.flag() ? { dim } : {}
      const options = { returnInverse: draw.flag(), returnCounts: draw.flag(), ...more }
      return setting(`torch.${snake(name)}(x0${keywords(options)})`, [x], (x) => named(name)(x, options))
    },
    () =>
      setting(`torch.searchsorted(x0, x1, right=${right ? 'True' : 'False'})`, [rising, plain], (x, y) =>
        f.searchsorted(x, y, { right }),
      ),
    () =>
      setting(`torch.bucketize(x1, x0, right=${right ? 'True' : 'False'})`, [rising, plain], (x, y) =>
        f.bucketize(y, x, { right }),
      ),
    () => {
      const test = tied(draw, draw.shape(0, 2), false, false)
      const invert = draw.flag()
      return setting(`torch.isin(x0, x1${keywords({ invert })})`, [plain, test], (x, y) => f.isin(x, y, { invert }))
    },
    () => {
      const minlength = draw.integer(0, 9)
      return setting(
        `torch.bincount(x0.long(), x1${keywords({ minlength })})`,
        [draw.integers([size], 0, 6), draw.floats([size], 1, false)],
        (x, weights) => f.bincount(x, { weights, minlength }),
      )
    },
  ])()
}
