/** Waits for batches, which an AbortSignal can end. */

/**
 * The items of an iterable, until the signal is aborted. A wait for an item that never comes then ends with the
 * signal's reason. The iterator's pending promise is abandoned, because nobody knows whether it will ever settle.
 */
export function untilAborted<B>(
  batches: AsyncIterable<B> | Iterable<B>,
  signal: AbortSignal | undefined,
): AsyncIterable<B> | Iterable<B> {
  if (signal === undefined || !(Symbol.asyncIterator in batches)) return batches
  return {
    [Symbol.asyncIterator]() {
      const inner = batches[Symbol.asyncIterator]()
      return {
        next: () => awaited(inner, signal),
        async return() {
          await inner.return?.()
          return { done: true, value: undefined }
        },
      }
    },
  }
}

function awaited<B>(inner: AsyncIterator<B>, signal: AbortSignal): Promise<IteratorResult<B>> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      // This promise is not awaited, because a generator that is itself waiting settles it only after its own wait.
      inner.return?.()?.catch(() => undefined)
      reject(signal.reason)
    }
    signal.addEventListener('abort', abort, { once: true })
    const end =
      <V>(settle: (value: V) => void) =>
      (value: V) => {
        signal.removeEventListener('abort', abort)
        settle(value)
      }
    inner.next().then(end(resolve), end(reject))
  })
}
