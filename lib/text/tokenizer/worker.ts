/** The thread of a tokenizer: makes it anew, then encodes the texts that it gets. */
import { parentPort, workerData } from 'node:worker_threads'
import { buffersOf, encodePart } from './batch.js'
import type { EncodingAnswer, EncodingAsked, EncodingTask } from './messages.js'
import { Tokenizer } from './tokenizer.js'

const { json, settings } = workerData as EncodingTask
const tokenizer = new Tokenizer(json, settings)

parentPort?.on('message', ({ id, texts, options }: EncodingAsked) => {
  const made = encodePart(texts, (text) => tokenizer.encodeBatch([text], options))
  const answer: EncodingAnswer = 'text' in made ? { id, ...made } : { id, part: made }
  parentPort?.postMessage(answer, 'text' in made ? [] : buffersOf(made))
})
