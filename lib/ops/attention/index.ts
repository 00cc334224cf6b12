/** Attention: the fused one, with any score function, and where queries and keys stand. */
export * from './positions.js'
export * from './rotary.js'
export * from './scaled.js'
export * from './score.js'
