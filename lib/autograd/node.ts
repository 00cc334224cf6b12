import { type DType, dtypes } from '../core/dtype.js'
import { AutogradError } from '../core/errors.js'
import type { Shape } from '../core/shape.js'
import type { Storage } from '../core/storage.js'
import type { GraphNode, Tensor } from '../core/tensor.js'
import type { BackwardContext, Gradient, Inputs, Needs, OperatorRecord, TensorSpec } from './operator.js'

/** A tensor kept for backward, with the version its memory had: overwritten since, it is of no use. */
interface Saved {
  readonly tensor: Tensor
  readonly version: number
}

/** Where a gradient goes: output `index` of an operator call, or a leaf. */
export type Edge = { readonly node: Node; readonly index: number } | { readonly leaf: Tensor } | null

let sequence = 0

/** One recorded call of an operator. Keeps what the record's `saves` names, nothing else. */
// biome-ignore lint/suspicious/noExplicitAny: a node holds a record of any attributes; only the record reads them
export class Node<A = any> implements GraphNode, BackwardContext<A> {
  readonly record: OperatorRecord<A>
  readonly gradient: Gradient<A>
  readonly attrs: A
  readonly needs: Needs
  readonly edges: readonly Edge[]
  /** Shape and dtype of each output, for gradients of zeros. */
  readonly outputSpecs: readonly (TensorSpec & { readonly device: Tensor['device'] })[]
  /** Position in program order: consumers come after producers. */
  readonly order = sequence++
  createGraph = false
  /** The pass's, while it visits: what waits at an edge and may be added to. */
  sums: ((edge: Edge) => Tensor | null) | null = null
  #inputs: (Saved | null)[] | null
  #outputs: (Saved | null)[]
  #specs: readonly TensorSpec[]
  #present: readonly boolean[]

  constructor(
    record: OperatorRecord<A>,
    gradient: Gradient<A>,
    inputs: Inputs,
    attrs: A,
    needs: Needs,
    results: readonly Tensor[],
  ) {
    this.record = record
    this.gradient = gradient
    this.attrs = attrs
    this.needs = needs
    this.edges = inputs.map((input, i) => {
      if (input === null || !needs[i]) return null
      return input.node ? { node: input.node as Node, index: input.outputIndex } : { leaf: input }
    })
    this.#specs = inputs.map((input) => ({
      shape: (input?.shape ?? []) as Shape,
      dtype: (input?.dtype ?? 'float32') as DType,
    }))
    this.#present = inputs.map((input) => input !== null)
    const count = Math.min(record.outputs ?? 1, results.length)
    this.outputSpecs = results
      .slice(0, count)
      .map((result) => ({ shape: result.shape, dtype: result.dtype, device: result.device }))
    for (let i = 0; i < count; i++) {
      const result = results[i] as Tensor
      if (!result.dtype.includes('float')) continue
      result.node = this
      result.outputIndex = i
    }
    const saves = gradient.saves(needs, attrs)
    this.#inputs = new Array<Saved | null>(inputs.length).fill(null)
    this.#outputs = new Array<Saved | null>(results.length).fill(null)
    for (const i of saves.inputs ?? []) {
      const tensor = inputs[i]
      if (tensor) this.#inputs[i] = { tensor, version: tensor.storage.version }
    }
    for (const i of saves.outputs ?? []) {
      const tensor = results[i] as Tensor
      this.#outputs[i] = { tensor, version: tensor.storage.version }
    }
  }

  get name(): string {
    return this.record.name
  }

  input(index: number): Tensor {
    const tensor = this.optionalInput(index)
    if (tensor === null)
      throw new AutogradError(this.name, `backward reads input ${index}, which the call did not have`)
    return tensor
  }

  optionalInput(index: number): Tensor | null {
    if (this.#inputs === null) throw this.#used()
    const saved = this.#inputs[index]
    if (!saved) {
      if (this.#present[index])
        throw new AutogradError(this.name, `backward reads input ${index}, which its saves() did not keep`)
      return null
    }
    return this.#check(saved, `input ${index}`)
  }

  output(index: number): Tensor {
    if (this.#inputs === null) throw this.#used()
    const saved = this.#outputs[index]
    if (!saved) throw new AutogradError(this.name, `backward reads output ${index}, which its saves() did not keep`)
    return this.#check(saved, `output ${index}`)
  }

  spec(index: number): TensorSpec {
    return this.#specs[index] as TensorSpec
  }

  gradientDType(index: number): DType {
    const edge = this.edges[index]
    if (edge && 'node' in edge && edge.node.record.conversion) return edge.node.spec(0).dtype
    return this.spec(index).dtype
  }

  sumSoFar(index: number): Tensor | null {
    const sum = this.sums?.(this.edges[index] ?? null) ?? null
    return sum?.dtype === this.spec(index).dtype || sum?.dtype === this.gradientDType(index) ? sum : null
  }

  /**
   * The inputs as they were, for the composite of a second derivative. Null where the call had none, and for constants that
   * the record does not save (running statistics, which the composite must not update a second time).
   */
  allInputs(): Inputs {
    return this.#present.map((present, i) => (present && (this.needs[i] || this.#inputs?.[i]) ? this.input(i) : null))
  }

  checkUsable(): void {
    if (this.#inputs === null) throw this.#used()
  }

  /** Lets go of what was saved. */
  release(): void {
    this.#inputs = null
    this.#outputs = []
  }

  visitSaved(visit: (storage: Storage) => void, seen: Set<object>): void {
    const stack: Node[] = [this]
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      if (seen.has(node)) continue
      seen.add(node)
      for (const saved of node.#inputs ?? []) if (saved) visit(saved.tensor.storage)
      for (const saved of node.#outputs) if (saved) visit(saved.tensor.storage)
      for (const edge of node.edges) if (edge && 'node' in edge) stack.push(edge.node)
    }
  }

  #check(saved: Saved, what: string): Tensor {
    const { storage } = saved.tensor
    storage.check(`${this.name} backward`)
    if (storage.version !== saved.version)
      throw new AutogradError(
        this.name,
        `its backward needs ${what} as it was, but ${storage.writer} has overwritten that memory since (version ` +
          `${saved.version}, now ${storage.version}); run backward before ${storage.writer}, or clone() the tensor first`,
      )
    return saved.tensor
  }

  #used(): AutogradError {
    return new AutogradError(
      this.name,
      'backward went through this call before, and what it had saved is gone; pass { retainGraph: true } to the first backward',
    )
  }
}

/** What the graph behind a tensor keeps for its backward pass, without parameters and other memory that lives anyway. */
export function savedForBackward(root: Tensor): { readonly tensors: number; readonly bytes: number } {
  const storages = new Set<Storage>()
  root.node?.visitSaved((storage) => {
    if (!storage.kept) storages.add(storage)
  }, new Set())
  let bytes = 0
  for (const storage of storages) bytes += storage.count * dtypes[storage.dtype].bytes
  return { tensors: storages.size, bytes }
}
