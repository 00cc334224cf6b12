/** Reads that arrive in the order of the updates that requested them, while nobody waits for the device. */
import { noGrad } from '../../autograd/mode.js'
import type { TypedArray } from '../../core/dtype.js'
import { keep } from '../../core/scope.js'
import type { Tensor } from '../../core/tensor.js'

/** Adds the elements that were read to the totals. */
export type Take<A> = (totals: A, values: readonly TypedArray[]) => void

interface Entry<A> {
  readonly tensors: readonly Tensor[]
  readonly take: Take<A>
  values: readonly TypedArray[] | null
}

/**
 * Totals of a pass, and values still on their way to them from the device. Each update hands over tensors and a
 * function that adds their elements to the totals. The functions run in the order of the updates, each as soon as its
 * elements and all earlier ones have arrived. A metric that is reset takes a new stream, so that a running `compute`
 * keeps its own.
 */
export class Stream<A> {
  readonly #totals: A
  #pending: Entry<A>[] = []
  /** The error of a read or a function. After it the totals are worthless. */
  #failed: { readonly error: unknown } | null = null

  constructor(totals: A) {
    this.#totals = totals
  }

  /** Copies the tensors as they are now, and requests their elements. */
  add(tensors: readonly Tensor[], take: Take<A>): void {
    if (this.#failed) return
    // These are copies, because the program may overwrite its own tensors before `settle` reads them. They are kept,
    // because a step's scope ends before.
    const copies = noGrad(() => tensors.map((tensor) => keep(tensor.detach().clone())))
    const entry: Entry<A> = { tensors: copies, take, values: copies.length === 0 ? [] : null }
    this.#pending.push(entry)
    if (entry.values !== null) this.#drain()
    else this.#ask(entry)
  }

  #ask(entry: Entry<A>): void {
    Promise.all(entry.tensors.map((copy) => copy.data())).then(
      (values) => this.#arrived(entry, values),
      (error: unknown) => this.#fail(error),
    )
  }

  /** The result of `read` for the totals of all updates until now, and of no later ones. */
  at<V>(read: (totals: A) => V): Promise<V> {
    return new Promise((resolve, reject) => {
      const entry: Entry<A> = {
        tensors: [],
        values: [],
        take: (totals) => {
          if (this.#failed) return reject(this.#failed.error)
          // A metric that has no value now may have one after the next update.
          try {
            resolve(read(totals))
          } catch (error) {
            reject(error)
          }
        },
      }
      this.#pending.push(entry)
      this.#drain()
    })
  }

  /** The totals including all updates until now. Waits for the device. */
  settle(): A {
    for (const entry of this.#pending) {
      if (this.#failed) break
      try {
        entry.values ??= entry.tensors.map((copy) => copy.dataSync())
      } catch (error) {
        this.#fail(error)
      }
    }
    this.#drain()
    if (this.#failed) throw this.#failed.error
    return this.#totals
  }

  #arrived(entry: Entry<A>, values: readonly TypedArray[]): void {
    // `settle` may have been called before.
    if (entry.values !== null) return
    entry.values = values
    this.#drain()
  }

  #fail(error: unknown): void {
    if (this.#failed) return
    this.#failed = { error }
    for (const entry of this.#pending) entry.values ??= []
    this.#drain()
  }

  #drain(): void {
    while (this.#pending[0] && this.#pending[0].values !== null) {
      const [{ tensors, take, values }] = this.#pending.splice(0, 1) as [Entry<A> & { values: readonly TypedArray[] }]
      for (const tensor of tensors) tensor.dispose()
      // The next call that needs the totals gets the error.
      if (this.#failed && values.length === 0 && tensors.length > 0) continue
      try {
        take(this.#totals, values)
      } catch (error) {
        this.#fail(error)
      }
    }
  }
}
