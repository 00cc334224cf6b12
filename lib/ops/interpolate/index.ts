/** Interpolation. */
export { type InterpolateMode, type InterpolateOptions, interpolate } from './interpolate.js'
