/** Waits for batches that an AbortSignal can end. */

/**
 * The items of an iterable, until the signal is aborted: a wait for one that never comes then ends with the signal's reason. What the
 * wait was for is left to itself, because nobody knows whether it will ever come back.
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
      // Not awaited: a generator that waits itself comes to its end only then.
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
