/** A thread of a loader. It makes the dataset from its description, and then the requested batches. */
import { parentPort, workerData } from 'node:worker_threads'
import { collateFor } from './collate.js'
import { type Dataset, ownBatches } from './dataset.js'
import type { Answer, Asked, Fault, WorkerTask } from './messages.js'
import { datasetOf } from './module-dataset.js'
import { pack } from './packed.js'

const { dataset: description, length, dtypes, chosen } = workerData as WorkerTask

function faultOf(error: unknown): Fault {
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error))
  const { row } = Object(error) as { readonly row?: unknown }
  return { name, message, stack: stack ?? message, row: typeof row === 'number' ? row : null }
}

function say(answer: Answer, moved: readonly ArrayBuffer[] = []): void {
  parentPort?.postMessage(answer, moved)
}

async function make(): Promise<Dataset<unknown>> {
  const dataset = await datasetOf(description)
  if (dataset.length !== length)
    throw new Error(
      `the dataset has ${dataset.length} rows in a worker, but ${length} in the loader's thread; the function that makes it must return the ` +
        'same rows each time',
    )
  return dataset
}

async function answer(made: Promise<Dataset<unknown>>, { id, indices, pass }: Asked): Promise<void> {
  try {
    const dataset = await made
    const isOwn = dataset[ownBatches]() && !chosen
    const batch = isOwn
      ? await dataset.batch(indices, pass)
      : // The device is the one of plain memory, because the batch goes to another thread.
        collateFor('DataLoader', await dataset.rows(indices, pass), dtypes, 'reference')
    const moved: ArrayBuffer[] = []
    say({ id, batch: pack(batch, moved) }, moved)
  } catch (error) {
    say({ id, fault: faultOf(error) })
  }
}

const made = make()
made.catch((error) => say({ id: null, fault: faultOf(error) }))
parentPort?.on('message', (asked: Asked) => void answer(made, asked))
