export * from './gather.js'
export * from './masks.js'
export * from './rows.js'
export * from './scatter.js'
