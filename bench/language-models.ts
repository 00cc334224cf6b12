/** The shapes of language models that are timed beside peers. Weights are random, because they do not affect the time. */
import { type Gpt2, gpt2, type Llama, llama } from 'firesteel/models'

export const shapes = {
  gpt2: { vocab: 50257, make: () => gpt2({}) },
  llama360m: {
    vocab: 49152,
    make: () =>
      llama({
        vocabSize: 49152,
        layers: 32,
        width: 960,
        heads: 15,
        keyHeads: 5,
        inner: 2560,
        context: 2048,
        tieWordEmbeddings: true,
      }),
  },
} as const satisfies { readonly [name: string]: { readonly vocab: number; make(): Gpt2 | Llama } }

export type ShapeName = keyof typeof shapes
