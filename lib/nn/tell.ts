/** Warnings about parts of a model that it will not train. */
import { warn } from '../core/host.js'

/** The subjects already warned of, because each may be met again at every step, or be made anew at every call. */
const told = new Set<string>()

/** Issues a process warning, once for each subject. */
export function tellOnce(text: string, subject = text): void {
  if (told.size < told.add(subject).size) warn(text, { type: 'FiresteelWarning', code: 'FIRESTEEL_MODULE' })
}
