/** Modules that run but that no walk finds: they would be neither trained nor saved, and nobody would say so. */
import { Module } from './module.js'
import { tellOnce } from './tell.js'
import { forgetBarren } from './walk.js'

/** The findings within an outermost module, told of or not. */
const known = new WeakMap<Module, WeakSet<Module>>()

/** Whether it matters that a walk misses this: something in it learns, or does in training what it must not in use. */
function matters(lost: Module): boolean {
  return (
    lost.namedParameters().some(([, parameter]) => parameter.requiresGrad) ||
    lost.modules().some((module) => {
      const { hasModes } = module.constructor as typeof Module
      return module.training && (hasModes || module.namedBuffers().length > 0)
    })
  )
}

/** Warns once of a module that runs within another one's forward and that walking the other does not find. */
export function tellIfLost(module: object, outermost: object): void {
  if (!(module instanceof Module && outermost instanceof Module)) return
  let found = known.get(outermost)
  if (found === undefined) {
    found = new WeakSet(outermost.modules())
    known.set(outermost, found)
  }
  if (found.has(module) || !matters(module)) return
  // It may have come since, or into a list that held nothing then.
  forgetBarren()
  for (const inner of outermost.modules()) found.add(inner)
  if (found.has(module)) return
  for (const inner of module.modules()) found.add(inner)
  const [outer, lost] = [outermost.constructor.name, module.constructor.name]
  tellOnce(
    `${outer} runs a ${lost} that is not found in its properties, so that it is neither trained, frozen, saved nor moved with ` +
      `it, and keeps its own mode. Hold it in a property, or in an array, Set, Map or plain object there; private #fields, ` +
      'closures and instances of other classes cannot be looked into. If it is meant to stay outside, freeze it and call its eval()',
  )
}
