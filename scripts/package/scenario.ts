import { Project } from './project.js'
import type { Registry } from './registry.js'

export interface Setting {
  /** A temporary folder. */
  readonly work: string
  readonly registry: Registry
  /** The checkout. */
  readonly root: string
  readonly version: string
  /** The best instruction set of this machine. */
  readonly isa: string
}

/**
 * Throws if something is wrong, and throws LeftOut if it cannot be tried. Otherwise returns a few words on what it saw.
 */
export interface Scenario {
  readonly name: string
  run(): string | Promise<string>
}

/** The reason why a scenario does not run on this machine, which is not a failure. */
export class LeftOut extends Error {}

/** A project that has firesteel from our registry. */
export function installed({ work, registry }: Setting, node?: string): Project {
  const project = new Project(work, registry, node)
  project.npm('install', 'firesteel')
  return project
}

/** Throws unless the words name native kernels of the best instruction set. */
export function expectNative(told: string, { isa }: Setting): string {
  if (!told.startsWith(`native kernels on the CPU: ${isa},`)) throw new Error(`not native kernels of ${isa}: ${told}`)
  return told
}
