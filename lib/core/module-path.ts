/**
 * The module and the function that run now, which late errors of kernels and traces name. They form a stack of the
 * calling thread. Each distinct nesting of modules has a number, and so has each composed function called in it, so
 * that a kernel call carries one integer.
 */
import { calledName, ValueError } from './errors.js'

interface Site {
  readonly label: number
  /** The number of nested modules; 1 for the outermost. */
  readonly depth: number
  readonly parent: Site | null
  readonly module: object
  readonly inner: WeakMap<object, Site>
  /** The labels of the functions called here, by name. */
  readonly calls: Map<string, number>
}

const roots = new WeakMap<object, Site>()
/** Sites by label. A site disappears with the last of its modules. */
const sites = new Map<number, WeakRef<Site>>()
/** Called functions by label, each with the label of its nesting, which is 0 outside of modules. */
const calls = new Map<number, { readonly name: string; readonly site: number }>()
const callsOutside = new Map<string, number>()
const gone = new FinalizationRegistry<Pick<Site, 'label' | 'calls'>>((site) => {
  sites.delete(site.label)
  for (const label of site.calls.values()) calls.delete(label)
})
let lastLabel = 0
let current: Site | null = null

/** Names a module within its parent. lib/nn sets it, because only lib/nn can walk modules. */
let nameOf: (module: object, parent: object | null) => string = (module) => module.constructor.name

/** Adds to an error the module whose forward threw it. lib/nn sets it. */
let explain: (error: unknown, module: object, path: () => string) => void = () => undefined

/** Inspects a module that runs within another for the first time. lib/nn sets it. */
let meet: (module: object, outermost: object) => void = () => undefined

export function setModuleNaming(naming: typeof nameOf, meeting: typeof meet, explaining: typeof explain): void {
  nameOf = naming
  meet = meeting
  explain = explaining
}

type Observer = (module: object, result: unknown) => void
let observer: Observer | null = null

/** Calls `seen` with the result of each module's forward while `fn` runs. */
export function observeModules<R>(seen: Observer, fn: () => R): R {
  const before = observer
  observer = seen
  try {
    return fn()
  } finally {
    observer = before
  }
}

/** Whether an observer wants the result of each module. */
export function modulesAreObserved(): boolean {
  return observer !== null
}

/** The label of the nesting and the function that run now; 0 outside of both. */
export function currentLabel(): number {
  const name = calledName()
  return name === null ? (current === null ? 0 : current.label) : callLabel(name)
}

function callLabel(name: string): number {
  const known = current === null ? callsOutside : current.calls
  let label = known.get(name)
  if (label === undefined) {
    label = ++lastLabel
    known.set(name, label)
    calls.set(label, { name, site: current === null ? 0 : current.label })
  }
  return label
}

/** The composed function of a label; null if the kernel's own name is right. */
export function nameOfLabel(label: number): string | null {
  return calls.get(label)?.name ?? null
}

function outermost(site: Site): object {
  let outer = site
  while (outer.parent !== null) outer = outer.parent
  return outer.module
}

/** The greatest depth of nested modules. A forward takes stack at each level; the stack has room for twice as many. */
export const mostNested = 1000

/** Throws ValueError if modules are nested too deep to be walked. */
export function checkNesting(depth: number, module: object): void {
  if (depth > mostNested)
    throw new ValueError(
      module.constructor.name,
      `is nested ${depth} modules deep, but at most ${mostNested} are possible; hold layers side by side, in one Sequential ` +
        'or one list, instead of each within another',
    )
}

/** Runs `fn` as part of the module. */
export function withinModule<R>(module: object, fn: () => R): R {
  const parent = current
  const known = parent === null ? roots : parent.inner
  let site = known.get(module)
  if (site === undefined) {
    const depth = parent === null ? 1 : parent.depth + 1
    checkNesting(depth, module)
    site = { label: ++lastLabel, depth, parent, module, inner: new WeakMap(), calls: new Map() }
    sites.set(site.label, new WeakRef(site))
    gone.register(site, { label: site.label, calls: site.calls })
    known.set(module, site)
    if (parent !== null) meet(module, outermost(parent))
  }
  current = site
  try {
    const result = fn()
    if (observer !== null) observer(module, result)
    return result
  } catch (error) {
    const { label } = site
    explain(error, module, () => describeLabel(label))
    throw error
  } finally {
    current = parent
  }
}

/** Lets functions run later as part of the module that runs now. */
export function capturePath(): <R>(fn: () => R) => R {
  const site = current
  return (fn) => {
    const before = current
    current = site
    try {
      return fn()
    } finally {
      current = before
    }
  }
}

/** The modules that ran outside of all others, and are still alive. */
export function outermostModules(): object[] {
  const found: object[] = []
  for (const reference of sites.values()) {
    const site = reference.deref()
    if (site !== undefined && site.parent === null) found.push(site.module)
  }
  return found
}

/** The path of a nesting, from its outermost module, `Sequential.3`; empty outside of modules. */
export function describeLabel(label: number): string {
  let site = sites.get(calls.get(label)?.site ?? label)?.deref() ?? null
  const names: string[] = []
  for (; site !== null; site = site.parent) names.unshift(nameOf(site.module, site.parent?.module ?? null))
  return names.join('.')
}
