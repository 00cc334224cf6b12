/** The strategies of fine-tuning that a config can name, each with its options. */
import * as z from 'zod'
import { count, factor, flag, names, oneOrMore, positive, share } from './fields.js'

const targets = (fallback: string) =>
  oneOrMore.describe(
    `'all-linear', names of layers in a list, or a regular expression of whole paths (default ${fallback})`,
  )

const excluded = oneOrMore.describe(
  'names of layers in a list, or a regular expression of whole paths: layers that are left out',
)

const saved = names("modules that learn whole and are saved with the adapter (default: the task's head)")

const frozenNorms = flag('whether weights and statistics of norms stay as they are (default false)')
const decay = factor('the rate of each block, as a share of the rate of the block behind it (default 0.95)')
const headRate = positive("the learning rate of the task's head (default: train.lr)")

const lora = z
  .strictObject({
    rank: count('the inner size of the adapters (default 8)').optional(),
    alpha: positive('the adapters are scaled by alpha / rank (default: rank)').optional(),
    dropout: share("dropout of the adapters' inputs (default 0)").optional(),
    targetModules: targets("'all-linear'").optional(),
    excludeModules: excluded.optional(),
    modulesToSave: z
      .array(z.string().min(1))
      .describe("a list of modules that learn whole and are saved with the adapter (default: the task's head)")
      .optional(),
    rankStabilized: flag('whether to scale by alpha / sqrt(rank) (default false)').optional(),
    dora: flag('whether the norms of the weights learn too, as in DoRA (default false)').optional(),
    init: z
      .literal('pissa')
      .describe("'pissa': factors begin as the largest singular values of the weights (default: one begins as zeros)")
      .optional(),
    quantize: z
      .enum(['q8_0', 'q4_0', 'nf4'])
      .describe(
        "'q8_0', 'q4_0' or 'nf4': the blocks that frozen linear layers are stored in, as in QLoRA (default: floats)",
      )
      .optional(),
    bias: z
      .enum(['none', 'all', 'lora_only'])
      .describe("'none' (default), 'all' or 'lora_only': which biases learn with the adapter")
      .optional(),
  })
  .describe('a table of options, such as { rank: 16, alpha: 32 }')

const ia3 = z
  .strictObject({
    targetModules: targets("'all-linear'").optional(),
    excludeModules: excluded.optional(),
    feedforwardModules: oneOrMore
      .describe('names of layers in a list, or a regular expression: those of the targets whose inputs are multiplied')
      .optional(),
    modulesToSave: saved.optional(),
  })
  .describe(
    'a table of options, such as { targetModules: [k_proj, v_proj, down_proj], feedforwardModules: [down_proj] }',
  )

const prompt = z
  .strictObject({
    kind: z
      .enum(['prompt', 'prefix'])
      .describe(
        "'prompt' (default) or 'prefix': embeddings before those of the tokens, or keys and values of every layer",
      )
      .optional(),
    tokens: count('how many columns there are before each text'),
  })
  .describe('a table such as { tokens: 20 }')

const layerwise = z
  .strictObject({ decay: decay.optional(), headLr: headRate.optional(), freezeNorms: frozenNorms.optional() })
  .describe('a table such as { decay: 0.9, headLr: 1e-3 }: the rate falls from the output to the input')

const gradual = z
  .strictObject({
    everyEpochs: count('epochs from one group to the next (default 1)').optional(),
    everySteps: count('steps from one group to the next, instead of epochs').optional(),
    groups: z
      .array(oneOrMore)
      .min(1)
      .describe(
        'a list of paths of modules, or of lists of them, from the first that learns to the last (default: the head, then each block from the output to the input)',
      )
      .optional(),
    decay: decay.optional(),
    headLr: headRate.optional(),
  })
  .describe('a table such as { everyEpochs: 1, decay: 0.9 }: one block after the other begins to learn')

const probe = z
  .strictObject({
    epochs: count('epochs in which the head alone learns (default 1)').optional(),
    headLr: headRate.optional(),
  })
  .describe('a table such as { epochs: 2, headLr: 1e-3 }: the head learns first, then all weights')

export const method = z
  .union([
    z.enum(['full', 'head', 'bitfit']),
    z.strictObject({
      full: z.strictObject({ freezeNorms: frozenNorms.optional() }).describe('a table such as { freezeNorms: true }'),
    }),
    z.strictObject({
      bitfit: z
        .strictObject({ norms: flag('whether the weights of norms learn too (default false)').optional() })
        .describe('a table such as { norms: true }'),
    }),
    z.strictObject({ lora }),
    z.strictObject({ ia3 }),
    z.strictObject({ prompt }),
    z.strictObject({
      last: count('how many of the last blocks learn beside the head'),
      freezeNorms: frozenNorms.optional(),
    }),
    z.strictObject({ layerwise }),
    z.strictObject({ gradual }),
    z.strictObject({ probe }),
  ])
  .describe(
    "'full' (default), 'head', 'bitfit', or a table of one: { full: { freezeNorms: true } }, { bitfit: { norms: true } }, { last: 2 }, { lora: { rank: 16 } }, { ia3: {} }, { prompt: { tokens: 20 } }, { layerwise: { decay: 0.9 } }, { gradual: { everyEpochs: 1 } } or { probe: { epochs: 2 } }",
  )

/** The strategy that a config names. */
export type Method = z.infer<typeof method>
