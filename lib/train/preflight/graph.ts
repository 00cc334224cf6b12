/** Finds where gradients end: the operator or the module that cuts a parameter off from the loss. */
import { isGradEnabled } from '../../autograd/mode.js'
import { Node } from '../../autograd/node.js'
import type { OperatorObserver } from '../../autograd/observe.js'
import type { AnyOperator, Extras, Inputs } from '../../autograd/operator.js'
import { currentLabel, describeLabel } from '../../core/module-path.js'
import type { Storage } from '../../core/storage.js'
import type { Tensor } from '../../core/tensor.js'
import type { Module, Parameter } from '../../nn/module.js'

/** The reason why a parameter that should learn gets no gradient. */
export interface Cut {
  /** Path of the parameter. */
  readonly parameter: string
  /**
   * 'detach' and 'noGrad': a result computed from the parameter left the graph this way. 'operator': it went through an
   * operator that has no gradient, such as a conversion to integers. 'unused': no result computed from it reaches the
   * loss, except as a plain number. 'unread': its module ran without it. 'not run': its module did not run.
   */
  readonly cause: 'detach' | 'noGrad' | 'operator' | 'unused' | 'unread' | 'not run'
  /** The operator at which the gradient ends, or null if there is none. */
  readonly operator: string | null
  /**
   * Path of the module in which that is, with the class of the outermost module: `Net.body.0`. Empty outside of
   * modules.
   */
  readonly module: string
  /** The same in words. */
  readonly text: string
}

interface Event {
  readonly operator: AnyOperator
  readonly label: number
  readonly inputs: readonly Tensor[]
  readonly results: readonly Tensor[]
  readonly records: boolean
}

/** Records the operators of a forward pass. */
export class GraphWatch implements OperatorObserver {
  readonly #events: Event[] = []
  /** Modules that ran. */
  readonly modules = new Set<object>()

  ran(operator: AnyOperator, inputs: Inputs, _attrs: unknown, results: Extras): void {
    const present = (tensors: readonly (Tensor | null)[]) => tensors.filter((tensor) => tensor !== null)
    const records = isGradEnabled()
    this.#events.push({ operator, label: currentLabel(), inputs: present(inputs), results: present(results), records })
  }

  /** The reason why each of these parameters gets no gradient from the loss. */
  cuts(model: Module, loss: Tensor, missing: readonly (readonly [string, Parameter])[]): Cut[] {
    const nodes = this.#nodes()
    const needed = this.#needed(loss)
    const owners = new Map<Tensor, Module>()
    for (const module of model.modules()) for (const own of module.ownParameters()) owners.set(own, module)
    return missing.map(([path, parameter]) => this.#cut(path, parameter, owners.get(parameter), nodes, needed))
  }

  /** All nodes of the graph, producers first. */
  #nodes(): Node[] {
    const found = new Set<Node>()
    const left = this.#events.flatMap(({ results }) =>
      results.flatMap(({ node }) => (node === null ? [] : [node as Node])),
    )
    for (let node = left.pop(); node !== undefined; node = left.pop()) {
      if (found.size === found.add(node).size) continue
      for (const edge of node.edges) if (edge?.target instanceof Node) left.push(edge.target)
    }
    return [...found].sort((a, b) => a.order - b.order)
  }

  /** Memory from which the loss was computed, with or without a graph. */
  #needed(loss: Tensor): Set<Storage> {
    const needed = new Set<Storage>([loss.storage])
    for (const { inputs, results } of this.#events.toReversed())
      if (results.some(({ storage }) => needed.has(storage))) for (const { storage } of inputs) needed.add(storage)
    return needed
  }

  #cut(
    path: string,
    parameter: Parameter,
    owner: Module | undefined,
    nodes: readonly Node[],
    needed: ReadonlySet<Storage>,
  ): Cut {
    const reaching = new Set<object>([parameter])
    for (const node of nodes)
      if (node.edges.some((edge) => edge !== null && reaching.has(edge.target))) reaching.add(node)
    const isReached = (tensor: Tensor) =>
      tensor === (parameter as Tensor) || (tensor.node !== null && reaching.has(tensor.node))
    const memory = new Set<Storage>([parameter.storage])
    let found: Omit<Cut, 'parameter' | 'text'> | null = null
    let last: Event | null = null
    for (const event of this.#events) {
      const { operator, inputs, results, label, records } = event
      const module = describeLabel(label)
      const isCut = results.some(({ storage }) => needed.has(storage)) && !results.some(isReached)
      if (inputs.some(isReached)) {
        last = event
        for (const tensor of [...inputs, ...results]) if (isReached(tensor)) memory.add(tensor.storage)
        if (isCut) found = { cause: records ? 'operator' : 'noGrad', operator: operator.op, module }
      } else if (isCut && inputs.some((input) => memory.has(input.storage) && !input.requiresGrad))
        found = { cause: 'detach', operator: operator.op, module }
    }
    const cut = found ?? this.#unused(owner, last)
    return { parameter: path, ...cut, text: `${path} ${describe(cut)}` }
  }

  #unused(owner: Module | undefined, last: Event | null): Omit<Cut, 'parameter' | 'text'> {
    if (last !== null) return { cause: 'unused', operator: last.operator.op, module: describeLabel(last.label) }
    const ran = owner !== undefined && this.modules.has(owner)
    return { cause: ran ? 'unread' : 'not run', operator: null, module: '' }
  }
}

function describe({ cause, operator, module }: Omit<Cut, 'parameter' | 'text'>): string {
  const where = module === '' ? `${operator}` : `${operator} in ${module}`
  switch (cause) {
    case 'detach':
      return `is cut off by a detach() before ${where}`
    case 'noGrad':
      return `is cut off by noGrad at ${where}`
    case 'operator':
      return `is cut off by ${where}, which has no gradient`
    case 'unused':
      return `was last read by ${where}, whose result reaches no loss as a tensor`
    case 'unread':
      return 'was not read, though its module ran'
    case 'not run':
      return 'was not read, because its module did not run'
  }
}
