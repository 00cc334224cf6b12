/** The base of all layers and models: parameters, buffers, modes, traversal. */
import { zeroGrad } from '../autograd/backward.js'
import { noGrad } from '../autograd/mode.js'
import type { Device } from '../core/device.js'
import { type DType, isDType } from '../core/dtype.js'
import { DeviceError, isFiresteelError, kindOf, StateDictError, shown, ValueError } from '../core/errors.js'
import type { Generator } from '../core/generator.js'
import { printed } from '../core/host.js'
import { checkNesting, mostNested, setModuleNaming, withinModule } from '../core/module-path.js'
import { checkFlag } from '../core/options.js'
import { keep } from '../core/scope.js'
import type { Shape } from '../core/shape.js'
import type { Storage } from '../core/storage.js'
import { denseTensor, replaceMemory, Tensor } from '../core/tensor.js'
import { openTensors } from '../io/shards.js'
import { isSource, type TensorSource } from '../io/source.js'
import { tensorsIn, writeTensors } from '../io/tensors.js'
import { to } from '../ops/convert.js'
import { creationNames, place } from '../ops/placement.js'
import { loadSource } from './load.js'
import '../ops/gradients.js'
import type { Copies } from './copies.js'
import { type ForwardHook, ForwardHooks, type ForwardPreHook, type HookHandle } from './hooks.js'
import { tellIfLost } from './lost.js'
import { Naming } from './naming.js'
import { Buffer, Parameter } from './parameter.js'
import { asCheckpoint, groupOf, isRecomputed } from './recompute.js'
import {
  type LoadableState,
  type LoadOptions,
  type LoadResult,
  loadStateDict,
  readState,
  type StateDict,
  stateDict,
  withoutAliases,
} from './state.js'
import { type Summary, type SummaryOptions, summarize } from './summary.js'
import { Holder, type OnGenerator, type OnHolder, type OnTensor, uncloneableModule, walk } from './walk.js'

export { Buffer, Parameter }

/** Parameters of a module, walked anew at each iteration: layers that were added, frozen or adapted since are seen. */
export interface ParameterView extends Iterable<Parameter> {
  /** With their paths. */
  named(): Iterable<readonly [string, Parameter]>
}

/** `weightIhL0` -> `weight_ih_l0`: PyTorch's spelling of a property. */
export function snakeCase(property: string): string {
  let name = snakeCases.get(property)
  if (name === undefined) {
    name = property.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase()
    snakeCases.set(property, name)
  }
  return name
}

/** Every step of an optimiser asks for the names of all parameters. */
const snakeCases = new Map<string, string>()

/** The name of the property with the copies of what a module is within, as `copies.ts` has them. */
export const copied: unique symbol = Symbol('copied')

const keepMode: unique symbol = Symbol('keepMode')
const resume: unique symbol = Symbol('resume')

/** Notes the mode of every module of a model; the function that it returns puts them back. */
export function captureModes(model: Module): () => void {
  const restores = model.modules().map((module) => module[keepMode]())
  return () => {
    for (const restore of restores) restore()
  }
}

/**
 * For whoever trains a model for the user: leaves a model that is in training as it is, modes of inner modules included, and
 * ends a `model.eval()` as `Module.train` says.
 */
export function trainModes(model: Module): void {
  if (!model.training) model[resume]()
}

/** With its path. */
type Named<T> = readonly [string, T]

/**
 * A layer or model. Its parameters, buffers and inner modules are what stands in its own properties: itself, or in arrays,
 * Sets, Maps and plain objects there, nested or not. Names in `stateDict()` are PyTorch's: the property in snake case, then
 * the place in a list or the key as it is (`heads.a.weight`, `list.0`). Private `#fields`, closures and instances of other
 * classes cannot be looked into; a layer there that runs and would not be trained is told of by a warning of the process.
 */
export abstract class Module extends Holder {
  /** Whether dropout drops and batch norm learns; set by `train()` and `eval()`. */
  training = true
  /** Whether eval() was called on this very module, and train() neither on it nor on one around it since. */
  #held = false
  /** Null while there are none. */
  #hooks: ForwardHooks | null = null

  /** Whether forward does something else in training, for those whose parameters or buffers do not tell. */
  static readonly hasModes: boolean = false

  /** The copies that may stand in for this module's tensors (copies.ts). */
  public [copied]: Copies | null = null

  /** Properties whose name in a state is not their snake case. */
  static readonly stateNames: { readonly [property: string]: string } = {}

  constructor() {
    super()
    // Every call of forward, by whomever, runs under the module's name: late errors and traces can tell where they come from.
    const forward = (this as { forward?: (...inputs: unknown[]) => unknown }).forward
    if (forward === undefined) throw new ValueError(this.constructor.name, 'a module needs a forward method')
    Object.defineProperty(this, 'forward', {
      value: (...inputs: unknown[]) =>
        withinModule(this, () =>
          // Called as it is where nothing is special, because every layer of a step comes here.
          this.#hooks === null && !isRecomputed() ? forward.apply(this, inputs) : this.#run(forward, inputs),
        ),
      enumerable: false,
    })
    Object.defineProperty(this, 'uncloneable', { value: uncloneableModule, enumerable: true })
  }

  #run(forward: (...inputs: unknown[]) => unknown, inputs: unknown[]): unknown {
    const run = groupOf(this) === undefined ? forward : asCheckpoint(forward)
    return this.#hooks === null ? run.apply(this, inputs) : this.#hooks.run(this, run, inputs)
  }

  /** Name in a state of one of this module's properties. */
  override stateName(property: string): string {
    const own: unknown = (this.constructor as typeof Module).stateNames[property]
    // Inherited properties, as `constructor`, are no names.
    return typeof own === 'string' ? own : snakeCase(property)
  }

  /** Also the copies that may stand in for this module's tensors, as PEFT names them: `modules_to_save.<name>.weight`. */
  override visitOwn(
    onTensor: OnTensor | null,
    onHolder: OnHolder | null,
    onGenerator: OnGenerator | null = null,
  ): void {
    super.visitOwn(onTensor, onHolder, onGenerator)
    if (onTensor !== null) this[copied]?.visit(this, onTensor)
  }

  /** Inner modules with their names, in order of definition. */
  namedChildren(): Named<Module>[] {
    const found: Named<Module>[] = []
    this.visitOwn(null, (name, child) => void found.push([name, child as Module]))
    return found
  }

  children(): Module[] {
    return this.namedChildren().map(([, child]) => child)
  }

  /** This module ('') and all inside, each once, with their paths. */
  namedModules(prefix = ''): Named<Module>[] {
    const found: Named<Module>[] = []
    walk(this, prefix, { once: true, onHolder: (path, module) => void found.push([path, module as Module]) })
    return found
  }

  modules(): Module[] {
    return this.namedModules().map(([, module]) => module)
  }

  /** Tensors of one kind, each under its first name. */
  #tensors<T extends Tensor>(kind: abstract new (...args: never[]) => T): Named<T>[] {
    const found: Named<T>[] = []
    const seen = new Set<Tensor>()
    walk(this, '', {
      once: true,
      onTensor: (path, tensor) => {
        if (tensor instanceof kind && seen.size < seen.add(tensor).size) found.push([path, tensor])
      },
    })
    return found
  }

  /** Parameters with their paths; a tied one once, under its first. */
  namedParameters(): Named<Parameter>[] {
    return this.#tensors<Parameter>(Parameter)
  }

  /** Buffers with their paths, each once. */
  namedBuffers(): Named<Buffer>[] {
    return this.#tensors<Buffer>(Buffer)
  }

  /**
   * Parameters, then persistent buffers, under all their names: what a state holds. Tied weights have several, and so has all within a
   * module that stands in several places. Throws ValueError if two tensors have one name.
   */
  namedState(): Named<Tensor>[] {
    const found = [new Map<string, Tensor>(), new Map<string, Tensor>()] as const
    walk(this, '', {
      once: false,
      onTensor: (path, tensor) => {
        if (!(tensor instanceof Parameter || (tensor instanceof Buffer && tensor.persistent))) return
        const other = found[0].get(path) ?? found[1].get(path)
        if (other !== undefined && other !== tensor)
          throw new ValueError(this.constructor.name, `two tensors have one name in the state, ${path}; rename one`)
        found[tensor instanceof Parameter ? 0 : 1].set(path, tensor)
      },
    })
    return [...found[0], ...found[1]]
  }

  /** Random generators with their paths, each once: those that layers were given, and whatever else stands in a property. */
  namedGenerators(): Named<Generator>[] {
    const found: Named<Generator>[] = []
    const seen = new Set<Generator>()
    walk(this, '', {
      once: true,
      onGenerator: (path, generator) => {
        if (seen.size < seen.add(generator).size) found.push([path, generator])
      },
    })
    return found
  }

  /** Parameters that are this module's own, not those of modules inside. */
  ownParameters(): Parameter[] {
    const found: Parameter[] = []
    this.visitOwn((_, tensor) => {
      if (tensor instanceof Parameter) found.push(tensor)
    }, null)
    return found
  }

  /** A live view of all parameters. */
  parameters(): ParameterView {
    const named = () => this.namedParameters()
    const all = () => named().map(([, parameter]) => parameter)
    return { named, [Symbol.iterator]: () => all().values() }
  }

  /** Parameters and buffers under PyTorch's names: the tensors themselves, outside of the graph. */
  stateDict(): StateDict {
    return stateDict(this)
  }

  /** Copies a state in; throws StateDictError listing all mismatches, and then changes nothing. */
  loadStateDict(state: LoadableState, options: LoadOptions = {}): LoadResult {
    return loadStateDict(this, state, options)
  }

  /**
   * Writes the state to a safetensors file: as it is at the call, though training may go on, and whole or not at all. Tied weights
   * are written once, under the first of their names. Takes as much memory as the state until it is done. Throws ValueError
   * where the file cannot be written.
   */
  async save(path: string): Promise<void> {
    // A class's own stateDict() holds for its files too.
    const own = this.stateDict !== Module.prototype.stateDict
    return writeTensors(path, own ? this.stateDict() : new Map(withoutAliases(readState('save', this))))
  }

  /**
   * Loads the state from a safetensors file, of which only what this module has is read; from a folder with
   * model.safetensors or, in shards, model.safetensors.index.json; or from a source that is open, and stays so.
   *
   * Elements go piece by piece into the memory that is there, converted to the dtypes of this module: parameters stay the same
   * objects, and nothing is in memory twice. Tied weights may stand in the file under one of their names, or under several that
   * agree. Whoever uses the model meanwhile sees the old weights or the new ones: the file is read once to find what is wrong
   * with it, and once more in one turn of the event loop, about a second for 2 GB.
   *
   * Tensors on meta get memory on `options.device` (the default device), are read once and block nobody: a large model is
   * best made on meta.
   *
   * `rename` says which names of the file are which of the model, `exclude` what of the model stays as it is:
   * `load(path, { rename: { backbone: 'body' }, exclude: 'head' })`; the result says what was missing, unexpected and excluded.
   *
   * Throws ValueError for what is no such file, and StateDictError listing all mismatches; nothing has changed then. Only where
   * somebody overwrites the file just then may a model that is not on meta be a mix, which the error says.
   */
  async load(from: string | TensorSource, options: LoadOptions = {}): Promise<LoadResult> {
    if (isSource(from)) return this.#loadFrom(from, options)
    const source = await openTensors(from, 'load')
    try {
      return await this.#loadFrom(source, options)
    } finally {
      // Not awaited, so that the program goes on in the same turn of the event loop in which the weights came.
      source.close().catch(() => {})
    }
  }

  async #loadFrom(source: TensorSource, options: LoadOptions): Promise<LoadResult> {
    if (this.loadStateDict === Module.prototype.loadStateDict) return loadSource(this, source, options)
    // A class's own loadStateDict sees all names as the model has them, and the tensors that fit.
    const { device: fallback } = place('load', { ...(options.device ? { device: options.device } : {}) }, creationNames)
    const wanted = this.namedState().map(([name, { shape, device }]) => {
      return [name, { shape, device: device.kind === 'meta' ? fallback : device }] as const
    })
    const { rename: _, ...others } = options
    const naming = new Naming('load', source.names, options)
    if (naming.problems.length > 0) throw new StateDictError(naming.problems, 'load', source.path)
    return this.loadStateDict(await tensorsIn(naming.source(source), new Map(wanted), 'load'), others)
  }

  /**
   * Sets the mode of this module and all inside, as in PyTorch.
   *
   * The Trainer calls neither this nor `eval()` for good: it trains every module in the mode that it finds, so that a frozen
   * batch norm on which `eval()` was called keeps its statistics, and puts each mode back after an evaluation. Only a model
   * that is in evaluation as a whole, because `model.eval()` was called for a prediction, is put into training, apart from
   * inner modules on which `eval()` was called themselves. `train()` on such a module or on one around it ends that.
   */
  train(mode = true): this {
    if (typeof mode !== 'boolean')
      throw new ValueError(`${this.constructor.name}.train`, `the mode is ${shown(mode)}, but must be true or false`)
    for (const module of this.modules()) {
      module.training = mode
      if (mode) module.#held = false
    }
    this.#held = !mode
    return this
  }

  /** Evaluation: dropout off, batch norm by its running statistics. */
  eval(): this {
    return this.train(false)
  }

  /** For captureModes: how to put this module's own mode back. */
  [keepMode](): () => void {
    const [training, held] = [this.training, this.#held]
    return () => {
      this.training = training
      this.#held = held
    }
  }

  /** For trainModes: into training, but for what eval() was called on. */
  [resume](): void {
    const seen = new Set<Module>([this])
    const pending: Module[] = [this]
    for (let module = pending.pop(); module !== undefined; module = pending.pop()) {
      module.training = true
      for (const child of module.children()) if (!child.#held && seen.size < seen.add(child).size) pending.push(child)
    }
  }

  /** Whether all parameters want gradients. */
  requiresGrad_(value = true): this {
    checkFlag(`${this.constructor.name}.requiresGrad_`, 'the value', value)
    for (const parameter of this.parameters()) parameter.requiresGrad = value
    return this
  }

  /** Whether forward hooks are registered, so that nobody may pass by this module's forward. */
  get hasForwardHooks(): boolean {
    return this.#hooks !== null
  }

  /**
   * Calls `hook(module, inputs)` before each forward of this module, from the first registered to the last; an array that it
   * returns replaces the inputs. The handle takes it away again. Hooks run under `noGrad` and `checkpoint` as the forward does,
   * which for `checkpoint` means twice. Throws ValueError for what is no function, and at the forward for another result.
   */
  registerForwardPreHook<M extends Module>(this: M, hook: ForwardPreHook<NoInfer<M>>): HookHandle {
    return this.#addHook('before', 'registerForwardPreHook', hook)
  }

  /** As `registerForwardPreHook`, but after each forward: `hook(module, inputs, output)`; what it returns replaces the output. */
  registerForwardHook<M extends Module>(this: M, hook: ForwardHook<NoInfer<M>>): HookHandle {
    return this.#addHook('after', 'registerForwardHook', hook)
  }

  #addHook(when: 'before' | 'after', method: string, hook: unknown): HookHandle {
    const hooks = this.#hooks ?? new ForwardHooks()
    const handle = hooks.add(when, `${this.constructor.name}.${method}`, hook, () => {
      this.#hooks = null
    })
    this.#hooks = hooks
    return handle
  }

  /** Sets all gradients to null. */
  zeroGrad(): void {
    zeroGrad(this.parameters())
  }

  /** Calls `fn` with every module inside, then with this one; inner ones before outer ones, each once. */
  apply(fn: (module: Module) => void): this {
    if (typeof fn !== 'function')
      throw new ValueError(`${this.constructor.name}.apply`, `needs a function of a module, but got ${kindOf(fn)}`)
    const seen = new Set<Module>()
    const enter = (module: Module, depth: number) => {
      checkNesting(depth, module)
      if (seen.size === seen.add(module).size) return
      for (const child of module.children()) enter(child, depth + 1)
      fn(module)
    }
    enter(this, 1)
    return this
  }

  /**
   * A table of the layers and their parameters. With the shape of an input (the batch included) also of what each layer
   * gives: the model then runs once on zeros, in evaluation mode.
   */
  summary(inputShape?: Shape, options: SummaryOptions = {}): Summary {
    return summarize(this, inputShape, options)
  }

  /**
   * Moves all parameters and buffers to a device, or converts the floating ones to a floating dtype, in place: parameters
   * stay the same objects, tied or not, and their gradients go with them. If anything fails, nothing has changed. A model on
   * meta has no elements to move: it gets them, and with them its device, by `load`. Throws DeviceError for that.
   */
  to(target: string | Device | DType): this {
    const dtype = typeof target === 'string' && isDType(target)
    if (dtype && !target.includes('float'))
      throw new ValueError('Module.to', `the dtype is ${target}, but parameters are floating`)
    const own = [...this.namedParameters(), ...this.namedBuffers()]
    if (!dtype) checkMovable(own, place('Module.to', { device: target }, creationNames).device)
    const moving = own.map(([, tensor]) => tensor).filter(({ dtype: from }) => !dtype || from.includes('float'))
    const holders = new Map<Storage, number>()
    for (const { storage } of moving) holders.set(storage, (holders.get(storage) ?? 0) + 1)
    noGrad(() => {
      /** Memory that several tensors view goes as a whole, so that they still do. */
      const together = new Map<Storage, Tensor>()
      const moved = moving.map((tensor) => {
        const { storage, shape, strides, offset } = tensor
        const old = tensor.peekGrad()
        const grad = old && keep(to(old, target))
        if (holders.get(storage) === 1) return { tensor, memory: keep(to(tensor, target)), grad }
        const whole = together.get(storage) ?? keep(to(denseTensor(storage, [storage.count]), target))
        together.set(storage, whole)
        return { tensor, memory: new Tensor(whole.storage, shape, strides, offset), grad }
      })
      for (const { tensor, memory, grad } of moved) {
        replaceMemory(tensor, memory)
        if (grad !== tensor.peekGrad()) tensor.grad = grad
      }
    })
    return this
  }

  /** The text of this module itself in `toString()`, as sizes and options. */
  extraRepr(): string {
    return ''
  }

  /** The tree of its layers with their sizes and options. */
  override toString(): string {
    return tree(this)
  }

  [printed](): string {
    return this.toString()
  }

  /** Throws ValueError, because what JSON can hold is no module. */
  toJSON(): never {
    throw new ValueError(this.constructor.name, 'a module cannot be written as JSON; save() writes its state to a file')
  }
}

/**
 * A module that can be called, by what it takes and gives: any model, whatever its layers, for those who train, serve or
 * measure it. `Model<never>` may ask more of its input than to be a tensor.
 */
export interface Model<In = Tensor, Out = Tensor> extends Module {
  forward(x: In): Out
}

function checkMovable(own: readonly Named<Tensor>[], { kind, name }: Device): void {
  const [found] = kind === 'meta' ? [] : own.filter(([, { device }]) => device.kind === 'meta')
  if (found !== undefined)
    throw new DeviceError(
      'Module.to',
      `${found[0]} is on meta, where it has a shape but no elements; load the model there: load(path, { device: '${name}' }), or ` +
        `make it there: { device: '${name}' }`,
    )
}

/** As PyTorch prints a module. Too deep to be walked it is shown as far as it may go, because who prints expects no error. */
function tree(root: Module): string {
  const outer = new Set<Module>()
  // In pieces, because a text at each depth would be copied at each depth above.
  const pieces: string[] = []
  const print = (module: Module, indent: string): void => {
    const type = module.constructor.name
    if (outer.has(module) || outer.size === mostNested) return void pieces.push(`${type}(...)`)
    outer.add(module)
    const children = module.namedChildren()
    const extra = module.extraRepr().replaceAll('\n', `\n${indent}`)
    if (children.length === 0) pieces.push(`${type}(${extra})`)
    else {
      pieces.push(`${type}(`, extra === '' ? '' : `\n${indent}  ${extra}`)
      for (const [name, child] of children) {
        pieces.push(`\n${indent}  (${name}): `)
        print(child, `${indent}  `)
      }
      pieces.push(`\n${indent})`)
    }
    outer.delete(module)
  }
  print(root, '')
  return pieces.join('')
}

/** `inFeatures=3, bias=true`, for `extraRepr()`. */
export function settings(values: { readonly [name: string]: unknown }): string {
  const text = (value: unknown) => (Array.isArray(value) ? `[${value.join(', ')}]` : String(value))
  return Object.entries(values)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${text(value)}`)
    .join(', ')
}

function nameOf(module: object, parent: object | null): string {
  if (!(parent instanceof Module)) return module.constructor.name
  const own = parent.namedChildren().find(([, child]) => child === module)
  // A list has no forward that would be on the way: `layers.0`.
  const found = own ?? parent.namedModules().find(([path, inner]) => inner === module && path !== '')
  return found?.[0] ?? module.constructor.name
}

/** Errors that say already which layer threw them: the innermost one. */
const explained = new WeakSet<object>()

/** Errors of operators within a forward name the layer, because the program called that and not the operator. */
function explain(error: unknown, module: object, path: () => string): void {
  if (!(module instanceof Module && isFiresteelError(error)) || explained.has(error)) return
  explained.add(error)
  // Both before the message changes, because a stack that nobody has read yet may be written only then, with the new one.
  const { message, stack } = error
  error.message = `${message} (in ${path()}, ${module.constructor.name}(${module.extraRepr()}))`
  error.stack = stack?.replace(message, () => error.message) ?? ''
}

setModuleNaming(nameOf, tellIfLost, explain)
