/** Steps that a GPU's graph holds: what each replay must find, and the numbers that it gets. */
import type { Renewal } from '../core/capture.js'
import { ValueError } from '../core/errors.js'
import type { Storage } from '../core/storage.js'
import { Tensor } from '../core/tensor.js'
import type { At, Ready, Row } from './round.js'
import type { SlotList } from './slots.js'
import { type Batch, noteUpdate } from './update.js'

/** An optimiser as a captured step asks it. */
interface Source {
  /** The row by the options that the parameters' group has now. Throws if they are wrong. */
  rowAt(at: At): Row | null
  /** The slots of a parameter by these options, or null if the optimiser has another state for it by now. */
  slotsOf(ready: Ready): SlotList | null
}

const tensorLists = ({ args }: Row): readonly (readonly Tensor[])[] =>
  Object.values(args).filter((value) => Array.isArray(value) && value.every((item) => item instanceof Tensor))

export class StepRenewal implements Renewal {
  readonly #op: string
  readonly #batch: Batch
  readonly #source: Source
  readonly #kernel: string
  readonly #storages: readonly Storage[]
  readonly #states: readonly (readonly Tensor[])[]
  readonly #step: number

  /** `row` has no parameters and gradients yet. */
  constructor(op: string, batch: Batch, row: Row, source: Source) {
    this.#op = op
    this.#batch = batch
    this.#source = source
    this.#kernel = row.kernel
    this.#storages = batch.ready.map(({ parameter }) => parameter.storage)
    this.#states = tensorLists(row)
    this.#step = this.#stepNow()
  }

  check(): void {
    for (const [i, each] of this.#batch.ready.entries()) {
      const { parameter, known } = each
      if (parameter.storage !== this.#storages[i] || parameter.storage.freed)
        throw this.#changed('a parameter was moved or freed')
      const slots = this.#source.slotsOf(each)
      if (slots === null || !isSameUse(slots, known.slots) || known.state.step !== this.#stepNow())
        throw this.#changed('the state of a parameter was replaced, or options ask for another one')
    }
    const row = this.#row()
    if (row?.kernel !== this.#kernel || !isSame(tensorLists(row), this.#states))
      throw this.#changed('a tensor of a state was replaced')
  }

  next(): object {
    const { args } = this.#row() as Row
    noteUpdate(this.#op, this.#batch)
    return args
  }

  cancel(): void {
    for (const { known } of this.#batch.ready) known.state.step = this.#step
  }

  /** The number of steps that the parameters have behind them. */
  #stepNow(): number {
    return (this.#batch.ready[0] as Ready).known.state.step
  }

  #row(): Row | null {
    return this.#source.rowAt({ step: this.#stepNow() + 1, fresh: [] })
  }

  #changed(how: string): ValueError {
    return new ValueError(this.#op, `${how} since the graph was captured; capture another graph`)
  }
}

function isSameUse(a: SlotList, b: SlotList): boolean {
  return (
    a === b ||
    (a.length === b.length && a.every(({ name, slot }, i) => name === b[i]?.name && slot.used === b[i]?.slot.used))
  )
}

function isSame(a: readonly (readonly Tensor[])[], b: readonly (readonly Tensor[])[]): boolean {
  return (
    a.length === b.length &&
    a.every((list, i) => list.length === b[i]?.length && list.every((item, k) => item === b[i]?.[k]))
  )
}
