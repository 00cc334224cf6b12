export {
  type BincountOptions,
  bincount,
  type NonzeroOptions,
  nonzero,
  type UniqueOptions,
  unique,
} from './counts.js'
export * from './median.js'
export * from './order.js'
export * from './quantiles.js'
export * from './search.js'
export * from './sets.js'
