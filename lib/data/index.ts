export { type Collated, type CollateOptions, defaultCollate, type RowDTypes } from './collate.js'
export { type BatchSource, Dataset, FunctionDataset, Subset, TensorDataset } from './dataset.js'
export {
  type BatchesOptions,
  IterableDataset,
  type PassState,
  type RowPass,
  type RowSource,
  type ShuffleOptions,
} from './iterable.js'
export {
  type BatchStep,
  DataLoader,
  type DataLoaderOptions,
  type DataLoaderState,
  type LoaderPass,
  type Source,
} from './loader.js'
export { type ModuleDatasetOptions, moduleDataset } from './module-dataset.js'
export { Picture } from './picture.js'
export type { RowContext, SeededPass } from './row-context.js'
export {
  type ByLengthOptions,
  byLength,
  type Sampler,
  type SamplerPass,
  type WeightedOptions,
  weighted,
} from './sampler.js'
export {
  type By,
  type Fold,
  type FoldOptions,
  kFold,
  type Parts,
  type RandomSplitOptions,
  randomSplit,
  type SplitOptions,
  splitRows,
} from './split.js'
