/** Detection of modules that run but that no walk finds. They would silently be neither trained nor saved. */
import { Module } from './module.js'
import { tellOnce } from './tell.js'
import { forgetBarren } from './walk.js'

/** The modules already examined within each outermost module. */
const known = new WeakMap<Module, WeakSet<Module>>()

/** Whether missing this module matters, because something in it learns, or behaves differently in training. */
function matters(lost: Module): boolean {
  return (
    lost.namedParameters().some(([, parameter]) => parameter.requiresGrad) ||
    lost.modules().some((module) => {
      const { hasModes } = module.constructor as typeof Module
      return module.training && (hasModes || module.namedBuffers().length > 0)
    })
  )
}

/** Warns once of a module that runs within another's forward but that a walk of the other does not find. */
export function tellIfLost(module: object, outermost: object): void {
  if (!(module instanceof Module && outermost instanceof Module)) return
  let found = known.get(outermost)
  if (found === undefined) {
    found = new WeakSet(outermost.modules())
    known.set(outermost, found)
  }
  if (found.has(module) || !matters(module)) return
  // The module may have been added since, or to a list that held nothing at the last walk.
  forgetBarren()
  for (const inner of outermost.modules()) found.add(inner)
  if (found.has(module)) return
  for (const inner of module.modules()) found.add(inner)
  const [outer, lost] = [outermost.constructor.name, module.constructor.name]
  tellOnce(
    `${outer} runs a ${lost} that is not found in its properties, so it is neither trained, frozen, saved nor moved with ` +
      `it, and keeps its own mode. Hold it in a property, or in an array, Set, Map or plain object there; private #fields, ` +
      'closures and instances of other classes cannot be searched. If it should stay outside, freeze it and call its eval()',
  )
}
