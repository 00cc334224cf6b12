import type { Device } from '../core/device.js'
import { type DType, dtypes } from '../core/dtype.js'
import { AutogradError, formatShape, kindOf, ValueError } from '../core/errors.js'
import type { Storage } from '../core/storage.js'
import { type GraphNode, Tensor } from '../core/tensor.js'
import type { AnyOperator, BackwardContext, Extras, Gradient, Inputs, Needs, TensorSpec } from './operator.js'
import { activeRegion, type Kept, keepForBackward, type Region, recall, Saved } from './region.js'

/** The target of a gradient: a leaf, or a node, which takes gradients of its outputs. */
export type Target = Node | Tensor

/** The destination of an input's gradient: output `index` of an operator call, or a leaf (0). */
export interface Edge {
  readonly target: Target
  readonly index: number
}

export function edgeOf(tensor: Tensor): Edge {
  return { target: (tensor.node as Node | null) ?? tensor, index: tensor.outputIndex }
}

interface OutputSpec extends TensorSpec {
  readonly device: Device
}

/** Stands for the shape and dtype of an input that the call lacked. */
const absent: TensorSpec = { shape: [], dtype: 'float32' }

/** The parts of an operator that a node reads. */
export type NodeOperator = Pick<AnyOperator, 'op' | 'outputs' | 'composite' | 'conversion'>

const nothing: readonly number[] = []

let sequence = 0

// biome-ignore lint/suspicious/noExplicitAny: a node holds the call of any operator; only the operator reads its parts
type Any = any

/** One recorded call of an operator. It keeps only the tensors that the operator's `saves` names. */
export class Node implements GraphNode, BackwardContext<Any, Any, Any, Any> {
  readonly operator: NodeOperator
  readonly gradient: Gradient<Any, Any, Any, Any>
  readonly attrs: Any
  readonly needs: Needs
  /** The destination of each input's gradient; null if none is wanted. */
  readonly edges: readonly (Edge | null)[]
  /** The shape, dtype and device of each output, for gradients of zeros. */
  readonly outputSpecs: readonly OutputSpec[]
  /** The position in program order: consumers come after producers. */
  readonly order = sequence++
  createGraph = false
  /** Finds the gradient that waits at an edge and may be added to. The pass sets it while it visits this node. */
  sums: ((edge: Edge | null) => Tensor | null) | null = null
  /** The region that computes the saved tensors again; null if they are kept. */
  readonly region: Region | null
  #inputs: (Kept | null)[] | null
  #outputs: (Kept | null)[]
  #specs: readonly TensorSpec[]

  constructor(
    operator: NodeOperator,
    gradient: Gradient<Any, Any, Any, Any>,
    inputs: Inputs,
    attrs: unknown,
    needs: Needs,
    results: Extras,
  ) {
    this.operator = operator
    this.gradient = gradient
    this.attrs = attrs
    this.needs = needs
    // Arrays are made at full length, because every operator of a step comes here, and push() would grow one to a
    // capacity of 17.
    const edges = new Array<Edge | null>(inputs.length)
    const specs = new Array<TensorSpec>(inputs.length)
    const savedInputs = new Array<Kept | null>(inputs.length)
    for (let i = 0; i < inputs.length; i++) {
      const input = inputs[i] as Tensor | null
      edges[i] = input !== null && needs[i] ? edgeOf(input) : null
      specs[i] = input === null ? absent : { shape: input.sizes, dtype: input.dtype }
      savedInputs[i] = null
    }
    const outputSpecs = new Array<OutputSpec>(Math.min(operator.outputs, results.length))
    const savedOutputs = new Array<Kept | null>(results.length)
    for (let i = 0; i < results.length; i++) {
      savedOutputs[i] = null
      if (i >= outputSpecs.length) continue
      const result = results[i] as Tensor
      outputSpecs[i] = { shape: result.sizes, dtype: result.dtype, device: result.device }
      if (!result.dtype.includes('float')) continue
      result.node = this
      result.outputIndex = i
    }
    this.edges = edges
    this.#specs = specs
    this.#inputs = savedInputs
    this.#outputs = savedOutputs
    this.outputSpecs = outputSpecs
    const saves = gradient.saves(needs, attrs)
    for (const i of saves.inputs ?? nothing) {
      const input = inputs[i] ?? null
      if (input !== null) savedInputs[i] = keepForBackward(input, operator.op)
    }
    for (const i of saves.outputs ?? nothing) {
      const result = results[i] ?? null
      if (result !== null) savedOutputs[i] = keepForBackward(result, operator.op)
    }
    this.region = activeRegion()
    if (this.region !== null) this.region.enter()
  }

  get device(): Device {
    return (this.outputSpecs[0] as OutputSpec).device
  }

  get name(): string {
    return this.operator.op
  }

  input(index: number): Tensor | null {
    if (this.#inputs === null) throw this.#used('backward')
    const saved = this.#inputs[index]
    if (!saved) {
      if (this.#specs[index] !== absent)
        throw new AutogradError(this.name, `backward reads input ${index}, which its saves() did not keep`)
      return null
    }
    return this.#check(saved, `input ${index}`)
  }

  output(index: number): Tensor {
    if (this.#inputs === null) throw this.#used('backward')
    const saved = this.#outputs[index]
    if (!saved) throw new AutogradError(this.name, `backward reads output ${index}, which its saves() did not keep`)
    return this.#check(saved, `output ${index}`)
  }

  spec(index: number): TensorSpec {
    return this.#specs[index] as TensorSpec
  }

  gradientDType(index: number): DType {
    const own = this.spec(index).dtype
    const edge = this.edges[index]
    if (!(edge?.target instanceof Node && edge.target.operator.conversion)) return own
    const before = edge.target.spec(0).dtype
    // The gradient keeps the converted dtype, because no kernel gives float16.
    return before === 'float16' ? own : before
  }

  sumSoFar(index: number): Tensor | null {
    const sum = this.sums?.(this.edges[index] ?? null) ?? null
    return sum?.dtype === this.spec(index).dtype || sum?.dtype === this.gradientDType(index) ? sum : null
  }

  /**
   * The inputs of the call. The composite of a second derivative reads them. An entry is null if the call had no such
   * input. It is also null for constants that the record does not save, such as running statistics, because the
   * composite must not update them a second time.
   */
  allInputs(): Inputs {
    return this.#specs.map((spec, i) =>
      spec !== absent && (this.needs[i] || this.#inputs?.[i]) ? this.input(i) : null,
    )
  }

  checkUsable(op: string): void {
    if (this.#inputs === null) throw this.#used(op)
  }

  /** Releases the saved tensors. */
  release(): void {
    if (this.#inputs !== null) this.region?.release()
    this.#inputs = null
    this.#outputs = []
  }

  visitSaved(visit: (storage: Storage) => void, seen: Set<object>): void {
    const stack: Node[] = [this]
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      if (seen.has(node)) continue
      seen.add(node)
      for (const saved of node.#inputs ?? []) if (saved instanceof Saved) visit(saved.tensor.storage)
      for (const saved of node.#outputs) if (saved instanceof Saved) visit(saved.tensor.storage)
      if (node.#inputs !== null) node.region?.visitSaved(visit, seen)
      for (const edge of node.edges) if (edge?.target instanceof Node) stack.push(edge.target)
    }
  }

  #check(kept: Kept, what: string): Tensor {
    const saved = recall(kept, this.createGraph)
    const { storage } = saved
    storage.check(`${this.name} backward`)
    if (saved.tensor.storage !== storage)
      throw new AutogradError(
        this.name,
        `its backward needs ${what}, which was moved to another device or dtype since; run backward before to()`,
      )
    if (storage.version !== saved.version)
      throw new AutogradError(
        this.name,
        `its backward needs ${what} as it was, but ${storage.writer} has overwritten that memory since (version ` +
          `${saved.version}, now ${storage.version}); run backward before ${storage.writer}, or clone() the tensor first`,
      )
    return saved.tensor
  }

  #used(op: string): AutogradError {
    const [first] = this.outputSpecs
    return new AutogradError(
      op,
      `an earlier backward pass used a part of this graph (first found: a tensor of shape ${formatShape(first?.shape ?? [])}), ` +
        'and freed what that part had saved; if the part comes from an earlier step (a recurrent state or a loss that was carried ' +
        'over), detach() that tensor; to use the graph twice, pass { retainGraph: true } to the first pass',
    )
  }
}

/**
 * Counts the tensors, and their bytes, that the graph behind a tensor keeps for backward. A model's own memory does not
 * count, because it lives on anyway. Throws ValueError for anything but a tensor.
 */
export function savedForBackward(root: Tensor): { readonly tensors: number; readonly bytes: number } {
  if (!(root instanceof Tensor)) throw new ValueError('savedForBackward', `needs a tensor, but got ${kindOf(root)}`)
  const storages = new Set<Storage>()
  root.node?.visitSaved((storage) => {
    if (storage.owner !== 'model') storages.add(storage)
  }, new Set())
  let bytes = 0
  for (const storage of storages) bytes += storage.count * dtypes[storage.dtype].bytes
  return { tensors: storages.size, bytes }
}
