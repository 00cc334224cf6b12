export { type Dataset, FunctionDataset, Subset, TensorDataset } from './dataset.js'
export { ImageDataset, type ImageOptions } from './images.js'
export { DataLoader, type DataLoaderOptions } from './loader.js'
