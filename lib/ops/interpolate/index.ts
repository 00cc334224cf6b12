/** Interpolation. */
export { type AffineGridOptions, affineGrid, type GridSampleOptions, gridSample } from './grid.js'
export type { GridMode, GridPadding } from './grid-taps.js'
export { type InterpolateMode, type InterpolateOptions, interpolate } from './interpolate.js'
