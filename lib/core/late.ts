/**
 * Values that are made when they are first asked for. Every program would otherwise wait for them when it imports the
 * library.
 */

export function late<T>(make: () => T): () => T {
  let made: { readonly value: T } | null = null
  return () => {
    made ??= { value: make() }
    return made.value
  }
}

/**
 * A pattern with classes of Unicode (`\p{...}`), as text. As a literal each takes a third of a millisecond, because the
 * engine looks up a class's characters while it reads the file.
 */
export const latePattern = (text: string, flags: string): (() => RegExp) => late(() => new RegExp(text, flags))
