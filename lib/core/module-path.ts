/**
 * Which module's forward is running, and which function: what a kernel's late error and a trace name. A stack of the calling
 * thread; each distinct nesting of modules has a number, and each function called in it that is made of others, so that a
 * kernel call carries one integer.
 */
import { calledName, ValueError } from './errors.js'

interface Site {
  readonly label: number
  /** The outermost module's is 1. */
  readonly depth: number
  readonly parent: Site | null
  readonly module: object
  readonly inner: WeakMap<object, Site>
  /** The labels of functions that were called here, by name. */
  readonly calls: Map<string, number>
}

const roots = new WeakMap<object, Site>()
/** By label; a site is gone with the last of its modules. */
const sites = new Map<number, WeakRef<Site>>()
/** By label: a function that was called, and the label of the nesting, 0 outside of modules. */
const calls = new Map<number, { readonly name: string; readonly site: number }>()
const callsOutside = new Map<string, number>()
const gone = new FinalizationRegistry<Pick<Site, 'label' | 'calls'>>((site) => {
  sites.delete(site.label)
  for (const label of site.calls.values()) calls.delete(label)
})
let lastLabel = 0
let current: Site | null = null

/** Gives a module its name within its parent; set by whoever can walk modules. */
let nameOf: (module: object, parent: object | null) => string = (module) => module.constructor.name

/** Adds to an error which module's forward threw it; set by whoever knows errors and modules. */
let explain: (error: unknown, module: object, path: () => string) => void = () => undefined

/** Looks at a module that runs within another for the first time; set by whoever can walk modules. */
let meet: (module: object, outermost: object) => void = () => undefined

export function setModuleNaming(naming: typeof nameOf, meeting: typeof meet, explaining: typeof explain): void {
  nameOf = naming
  meet = meeting
  explain = explaining
}

type Observer = (module: object, result: unknown) => void
let observer: Observer | null = null

/** Calls `seen` with what each module's forward gives while `fn` runs. */
export function observeModules<R>(seen: Observer, fn: () => R): R {
  const before = observer
  observer = seen
  try {
    return fn()
  } finally {
    observer = before
  }
}

/** Whether somebody wants to see what each module gives. */
export function modulesAreObserved(): boolean {
  return observer !== null
}

/** The number of the nesting that runs now, and of what was called there; 0 outside of both. */
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

/** The function that was called, where that was none of the kernel's own name. */
export function nameOfLabel(label: number): string | null {
  return calls.get(label)?.name ?? null
}

function outermost(site: Site): object {
  let outer = site
  while (outer.parent !== null) outer = outer.parent
  return outer.module
}

/** Modules within modules. A forward takes some stack for each, of which there is enough for twice as many. */
export const mostNested = 1000

/** Throws ValueError where modules are nested too deep for those who go down into them. */
export function checkNesting(depth: number, module: object): void {
  if (depth > mostNested)
    throw new ValueError(
      module.constructor.name,
      `is nested ${depth} modules deep, but at most ${mostNested} are possible; hold layers side by side, in one Sequential ` +
        'or one list, instead of each within another',
    )
}

/** Runs `fn` as part of a module. */
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

/** Modules that were run outside of all others, and still live. */
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
