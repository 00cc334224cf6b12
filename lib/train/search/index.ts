/** Searches over settings of a training. */
export { type SearchGoal, type SearchOptions, type SearchPlan, search, type TrialResult } from './search.js'
export {
  choice,
  type Distribution,
  integer,
  logUniform,
  type Setting,
  type SettingsOf,
  type Space,
  uniform,
} from './space.js'
export type { Study, TrialRow } from './study.js'
export type { TrialRecord } from './table.js'
export type { Curve, Trial } from './trial.js'
