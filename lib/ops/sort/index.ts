export * from './counts.js'
export * from './order.js'
export * from './search.js'
