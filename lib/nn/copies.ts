/**
 * Named copies of a module's tensors, one of which may stand in for them, as in PEFT's ModulesToSaveWrapper. A module
 * that learns as a whole with an adapter changes a copy, while its own tensors stay as they were. A copy is placed in
 * the module's properties, so that every reader of a weight gets it. Walks see through it: they find the module's own
 * tensors there, and all copies after them.
 */
import { noGrad } from '../autograd/mode.js'
import { chosenFor, StandingIn } from '../core/choice.js'
import { isFloating } from '../core/dtype.js'
import { keep, outsideFrames } from '../core/scope.js'
import type { Storage } from '../core/storage.js'
import { denseTensor, Tensor } from '../core/tensor.js'
import { clone } from '../ops/shape/index.js'
import { Adapter } from './adapter.js'
import { copied, type Module } from './module.js'
import { Buffer, originalOf, Parameter, setOriginal } from './parameter.js'
import type { OnTensor } from './walk.js'

/** One copy: all or some tensors of the module's state, under their names there. */
export interface Copy {
  /** Whether only some of the module's tensors are copied. */
  readonly isPart: boolean
  readonly named: readonly (readonly [name: string, tensor: Tensor])[]
}

/** The module's own tensors by their names in its state, without those of adapters and copies. */
function ownState(module: Module): (readonly [string, Tensor])[] {
  const inner = module.modules()
  const adapting = inner.filter((each) => each instanceof Adapter)
  const others = new Set(adapting.flatMap((adapter) => adapter.namedState().map(([, tensor]) => tensor)))
  for (const each of inner) for (const [, tensor] of each[copied]?.tensors() ?? []) others.add(tensor)
  return module.namedState().filter(([, tensor]) => !others.has(tensor))
}

/**
 * A copy, not yet in use, of a module's own tensors or of the named ones. Tensors that share memory in the module share
 * it in the copy. `made` has copies by their originals, which are taken where they are there.
 */
export function copyOf(
  module: Module,
  names: readonly string[] | null = null,
  made: Map<Tensor, Tensor> = new Map(),
): Copy {
  const own = ownState(module).filter(([name]) => names === null || names.includes(name))
  const holders = new Map<Storage, Set<Tensor>>()
  for (const [, tensor] of own)
    holders.set(tensor.storage, (holders.get(tensor.storage) ?? new Set<Tensor>()).add(tensor))
  const memory = new Map<Storage, Tensor>()
  const copy = (tensor: Tensor): Tensor => {
    const { storage, sizes, steps, offset } = tensor
    if (holders.get(storage)?.size === 1) return keep(clone(tensor.detach()))
    const whole = memory.get(storage) ?? keep(clone(denseTensor(storage, [storage.count])))
    memory.set(storage, whole)
    return new Tensor(whole.storage, sizes, steps, offset)
  }
  const named = outsideFrames(() =>
    noGrad(() =>
      own.map(([name, tensor]) => {
        const other =
          made.get(tensor) ??
          (tensor instanceof Parameter ? new Parameter(copy(tensor), false) : new Buffer(copy(tensor)))
        made.set(tensor, other)
        setOriginal(other, tensor)
        return [name, other] as const
      }),
    ),
  )
  return { named, isPart: names !== null }
}

/** The copies of one module. */
export class Copies extends StandingIn {
  readonly #module: Module
  /** The module and the modules in it, without what adapters hold. */
  readonly #inner: readonly Module[]
  readonly #byName = new Map<string, Copy>()
  #active: Copy | null = null
  /** The copy that is in the properties now; null if none is. */
  #standing: Copy | null = null

  private constructor(module: Module) {
    super()
    this.#module = module
    const all = module.modules()
    const adapting = new Set(all.flatMap((each) => (each instanceof Adapter ? each.modules() : [])))
    this.#inner = all.filter((each) => !adapting.has(each))
  }

  /** The copies of a module, made if it had none. */
  static of(module: Module): Copies {
    return module[copied] ?? new Copies(module)
  }

  /**
   * The modules that hold tensors of a copy. If a copy is of a part, these are the module's own, so that modules within
   * it may have copies of their parts as well.
   */
  #holders({ isPart }: Copy): readonly Module[] {
    return isPart ? [this.#module] : this.#inner
  }

  /** The module that is copied as a whole. */
  get module(): Module {
    return this.#module
  }

  get names(): readonly string[] {
    return [...this.#byName.keys()]
  }

  /** The name of the copy that stands in outside of any choice; null if none does. */
  get active(): string | null {
    for (const [name, copy] of this.#byName) if (copy === this.#active) return name
    return null
  }

  get(name: string): Copy | undefined {
    return this.#byName.get(name)
  }

  /** Adds a copy, or replaces the one of its name. It stands in for the module's tensors once it is activated. */
  set(name: string, copy: Copy): void {
    if (this.#byName.get(name) === copy) return
    this.delete(name)
    for (const holder of this.#holders(copy)) holder[copied] = this
    this.#byName.set(name, copy)
  }

  /** Removes a copy. With `adopt`, its values become the module's own. */
  delete(name: string, { adopt = false } = {}): void {
    const copy = this.#byName.get(name)
    if (copy === undefined) return
    this.#byName.delete(name)
    if (this.#active === copy) this.#active = null
    if (adopt) this.#adopt(copy)
    else this.settle()
    const left = new Set([...this.#byName.values()].flatMap((each) => this.#holders(each)))
    for (const holder of this.#holders(copy)) if (!left.has(holder)) holder[copied] = null
  }

  #adopt(copy: Copy): void {
    this.#stand(copy)
    this.#standing = null
    const successors = new Map(copy.named.map(([, tensor]) => [originalOf(tensor), tensor]))
    for (const tensor of successors.values()) setOriginal(tensor, null)
    for (const { named } of this.#byName.values())
      for (const [, tensor] of named) setOriginal(tensor, successors.get(originalOf(tensor)) ?? originalOf(tensor))
    this.settle()
  }

  /**
   * Lets a copy stand in for the module's own tensors until the next call; null for none. Its parameters learn, those
   * of other copies do not.
   */
  activate(name: string | null): void {
    this.#active = name === null ? null : (this.#byName.get(name) ?? null)
    for (const copy of this.#byName.values())
      for (const [, tensor] of copy.named)
        if (tensor instanceof Parameter && isFloating(tensor.dtype)) tensor.requiresGrad = copy === this.#active
    this.settle()
  }

  override get own(): Copy | null {
    return this.#active
  }

  override settle(): void {
    const chosen = chosenFor(this)
    this.#stand(chosen === undefined ? this.#active : (chosen as Copy | null))
  }

  #stand(copy: Copy | null): void {
    if (copy === this.#standing) return
    const byOriginal = (of: Copy | null) => new Map((of?.named ?? []).map(([, tensor]) => [originalOf(tensor), tensor]))
    const [now, next] = [byOriginal(this.#standing), byOriginal(copy)]
    const others = new Map<Tensor, Tensor>()
    for (const own of [...now.keys(), ...next.keys()]) others.set(now.get(own) ?? own, next.get(own) ?? own)
    const changed = [this.#standing, copy].flatMap((each) => (each === null ? [] : this.#holders(each)))
    for (const holder of new Set(changed)) holder.exchangeOwn(others)
    this.#standing = copy
  }

  /** All tensors of the copies, by their names after the module's. */
  *tensors(): Generator<readonly [string, Tensor]> {
    for (const [name, { named }] of this.#byName)
      for (const [own, tensor] of named) yield [`modules_to_save.${name}.${own}`, tensor]
  }

  /** Shows the copies to a walk that reaches the module. */
  visit(module: Module, onTensor: OnTensor): void {
    if (module === this.#module) for (const [name, tensor] of this.tensors()) onTensor(name, tensor)
  }
}

/** The copies of this very module; null if there are none. */
export function copiesAt(module: Module): Copies | null {
  const copies = module[copied]
  return copies?.module === module ? copies : null
}

/** All copies in a model, with the paths of their modules. */
export function copiesIn(model: Module): (readonly [path: string, copies: Copies])[] {
  return model.namedModules().flatMap(([path, module]) => {
    const copies = copiesAt(module)
    return copies === null ? [] : [[path, copies] as const]
  })
}

/** The copies that hold tensors of a module or of one within it, whichever module they were made for. */
export function copiesAround(module: Module): Copies[] {
  return [...new Set(module.modules().flatMap((each) => each[copied] ?? []))]
}
