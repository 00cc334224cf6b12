/** Recurrence: fused layers, their cells, and a time loop for a program's own cell. */
export type { Nonlinearity } from './cell-steps.js'
export * from './cells.js'
export * from './gru.js'
export type { RecurrentOptions, RecurrentWeights } from './layers.js'
export type { SequenceLengths } from './lengths.js'
export * from './lstm.js'
export * from './rnn.js'
export * from './scan.js'
