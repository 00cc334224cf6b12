/**
 * Beam search as in transformers, which keeps `beams` unfinished texts beside the best finished ones. Scores are sums
 * of log probabilities. Those of finished texts are divided by their new length to the power of `lengthPenalty`.
 */

import type { Plan } from './options.js'
import type { Rows } from './rows.js'
import { logProbabilities } from './scores.js'
import { type Finish, finishOf } from './stop.js'

export interface BeamPlan {
  readonly beams: number
  readonly lengthPenalty: number
  /**
   * true: a row ends once `beams` texts are finished; false: once no unfinished one has a better score at its present
   * length; 'never': once none can reach a better score.
   */
  readonly earlyStopping: boolean | 'never'
}

export interface BeamText {
  readonly tokens: readonly number[]
  readonly score: number
  readonly finish: Finish
}

/** A text in the search. `from` is the row of the batch that it continues. */
interface Beam {
  readonly tokens: readonly number[]
  readonly score: number
  readonly from: number
  readonly finish: Finish | null
}

interface Ended extends Beam {
  readonly done: boolean
}

/** The score of places without a text. No other score is lower. */
const nothing = -1e9

/**
 * The best of all continuations of a row's beams: (beam, token) pairs in the order of their scores, the first of equals
 * first.
 */
function bestContinuations(scores: readonly Float64Array[], count: number) {
  const found: { beam: number; token: number; score: number }[] = []
  scores.forEach((row, beam) => {
    row.forEach((score, token) => {
      const last = found[count - 1]
      if (last !== undefined && score <= last.score) return
      let at = Math.min(found.length, count - 1)
      while (at > 0 && (found[at - 1] as { score: number }).score < score) at--
      found.splice(at, 0, { beam, token, score })
      if (found.length > count) found.pop()
    })
  })
  return found
}

const byScore = (a: { score: number }, b: { score: number }) => b.score - a.score

/** One row of the batch. */
class Search {
  running: Beam[]
  ended: Ended[]
  /** Whether an unfinished text may still become one of the best. */
  open = true
  /** Whether all continuations of the last step are finished. */
  stuck = false
  readonly #prompt: readonly number[]
  readonly #plan: Plan
  readonly #beams: BeamPlan
  readonly #first: number

  constructor(prompt: readonly number[], index: number, plan: Plan, beams: BeamPlan) {
    this.#prompt = prompt
    this.#plan = plan
    this.#beams = beams
    this.#first = index * beams.beams
    const places = Array.from({ length: beams.beams }, (_, i) => i)
    // All beams begin with the same text, so at first only one of them has continuations.
    this.running = places.map((i) => ({
      tokens: [],
      score: i === 0 ? 0 : nothing,
      from: this.#first + i,
      finish: null,
    }))
    this.ended = places.map((i) => ({
      tokens: [],
      score: nothing,
      from: this.#first + i,
      finish: 'length',
      done: false,
    }))
  }

  get full(): boolean {
    return this.ended.every(({ done }) => done)
  }

  /** Takes the next token's scores of the row's beams. */
  step(logits: readonly Float32Array[]): void {
    const { beams, lengthPenalty, earlyStopping } = this.#beams
    const scores = this.running.map(({ tokens, score }, i) => {
      const own = logProbabilities(logits[i] as Float32Array)
      this.#plan.process(own, this.#prompt, tokens)
      return own.map((each) => each + score)
    })
    // The number of tokens is such that enough texts continue even if every beam's best tokens are stop tokens.
    const kept = Math.max(2, 1 + this.#plan.stopTokens.length) * beams
    const found = bestContinuations(scores, kept).map(({ beam, token, score }): Beam => {
      const tokens = [...(this.running[beam] as Beam).tokens, token]
      return { tokens, score, from: this.#first + beam, finish: finishOf(this.#plan, tokens) }
    })
    const length = (found[0] as Beam).tokens.length
    const closed = !this.open || (earlyStopping === true && this.full)
    const ending = found.slice(0, beams).flatMap((beam): Ended[] => {
      if (beam.finish === null || closed) return []
      return [{ ...beam, score: beam.score / length ** lengthPenalty, done: true }]
    })
    this.ended = [...this.ended, ...ending].sort(byScore).slice(0, beams)
    this.running = found
      .map((beam) => (beam.finish === null ? beam : { ...beam, score: beam.score + nothing }))
      .sort(byScore)
      .slice(0, beams)
    this.stuck = found.every(({ finish }) => finish !== null)
    this.#close(length)
  }

  #close(length: number): void {
    const { lengthPenalty, earlyStopping } = this.#beams
    const reach = earlyStopping === 'never' && lengthPenalty > 0 ? this.#plan.maxNewTokens : length
    const hoped = (this.running[0] as Beam).score / reach ** lengthPenalty
    const worst = Math.min(...this.ended.map(({ score }) => score))
    this.open &&= this.ended.some(({ done }) => hoped > (done ? worst : nothing))
  }
}

/**
 * Runs the search over rows that are `beams` times side by side in the decoder. Returns the best texts of each row, the
 * best first.
 */
export async function searchBeams(
  decoder: Rows,
  prompts: readonly (readonly number[])[],
  plan: Plan,
  beams: BeamPlan,
): Promise<BeamText[][]> {
  const rows = prompts.map((prompt, i) => new Search(prompt, i, plan, beams))
  let logits = await decoder.start()
  for (;;) {
    rows.forEach((row, i) => {
      row.step(logits.slice(i * beams.beams, (i + 1) * beams.beams))
    })
    const going =
      rows.some(({ open }) => open) &&
      !(beams.earlyStopping === true && rows.every(({ full }) => full)) &&
      !rows.every(({ stuck }) => stuck)
    if (!going)
      return rows.map(({ ended }) =>
        ended.map(({ tokens, score, finish }) => ({ tokens, score, finish: finish as Finish })),
      )
    plan.signal?.throwIfAborted()
    const running = rows.flatMap((row) => row.running)
    decoder.reorder(running.map(({ from }) => from))
    logits = await decoder.next(running.map(({ tokens }) => tokens.at(-1) as number))
  }
}
