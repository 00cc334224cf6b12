/** Attention: the fused one, the one with any score function, and encodings of positions. */
export * from './positions.js'
export * from './rotary.js'
export * from './scaled.js'
export * from './score.js'
