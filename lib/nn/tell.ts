/** Warnings about what a model holds and will not train. */
import { warn } from '../core/host.js'

/** The things that were told of, because each may be met again at every step, or be made anew at every call. */
const told = new Set<string>()

/** Warns of the process, once for a subject. */
export function tellOnce(text: string, subject = text): void {
  if (told.size < told.add(subject).size) warn(text, { type: 'FiresteelWarning', code: 'FIRESTEEL_MODULE' })
}
