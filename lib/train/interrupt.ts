/** Waits for batches, which an AbortSignal can end. */

/**
 * The items of an iterable, until the signal is aborted. A wait for an item that never comes then ends with the
 * signal's reason, once it has lasted for as many milliseconds more as `patience` returns. The iterator's pending
 * promise is abandoned, because nobody knows whether it will ever settle.
 */
export function untilAborted<B>(
  batches: AsyncIterable<B> | Iterable<B>,
  signal: AbortSignal | undefined,
  patience: () => number = () => 0,
): AsyncIterable<B> | Iterable<B> {
  if (signal === undefined || !(Symbol.asyncIterator in batches)) return batches
  return {
    [Symbol.asyncIterator]() {
      const inner = batches[Symbol.asyncIterator]()
      return {
        next: () => awaited(inner, signal, patience),
        async return() {
          await inner.return?.()
          return { done: true, value: undefined }
        },
      }
    },
  }
}

function awaited<B>(inner: AsyncIterator<B>, signal: AbortSignal, patience: () => number): Promise<IteratorResult<B>> {
  return new Promise((resolve, reject) => {
    let timer: ReturnType<typeof setTimeout> | undefined
    const leave = () => {
      // This promise is not awaited, because a generator that is itself waiting settles it only after its own wait.
      inner.return?.()?.catch(() => undefined)
      reject(signal.reason)
    }
    const abort = () => {
      const more = patience()
      if (more > 0) timer = setTimeout(leave, more)
      else leave()
    }
    // An abort before this wait concerns it only if it is one of those that go on for a while.
    if (!signal.aborted) signal.addEventListener('abort', abort, { once: true })
    else if (patience() > 0) abort()
    const end =
      <V>(settle: (value: V) => void) =>
      (value: V) => {
        signal.removeEventListener('abort', abort)
        clearTimeout(timer)
        settle(value)
      }
    inner.next().then(end(resolve), end(reject))
  })
}
