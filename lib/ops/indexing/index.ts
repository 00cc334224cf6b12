export * from './gather.js'
export * from './rows.js'
