import { type InterpolateMode, interpolate } from 'firesteel'
import { type Builder, flag, operator, size } from './work.js'

/** Images [n, c, h, w] enlarged by a factor. */
export const interpolateWork: Builder = (w, make) => {
  const [n, c, height, width, factor] = [size(w, 'n'), size(w, 'c'), size(w, 'h'), size(w, 'w'), size(w, 'factor')]
  const mode = w['mode'] as InterpolateMode
  const x = make.floats([n, c, height, width], 1, flag(w, 'backward', true))
  return operator(() => interpolate(x, { scaleFactor: factor, mode }), [x], {
    // In each dimension, an element of x is part of as many results as two steps of the source cover.
    reduces: (4 * factor) ** 2,
    operations: 50 * n * c * height * width * factor ** 2,
  })
}
