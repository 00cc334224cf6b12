export { type CompareOptions, compare } from './compare.js'
export type { Comparison, DeviceRow, MeasuredRow, MissingRow } from './comparison.js'
