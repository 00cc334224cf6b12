/** The strategies of fine-tuning that a config can name, each with its options. */
import * as z from 'zod'
import { count, factor, flag, names, oneOrMore, positive, share } from './fields.js'

const targets = (fallback: string) =>
  oneOrMore.describe(
    `'all-linear', a list of layers' names, or a regular expression that matches whole paths (default ${fallback})`,
  )

const excluded = oneOrMore.describe(
  "a list of layers' names, or a regular expression that matches whole paths: the layers to leave out",
)

const saved = names("modules whose weights all learn and are saved with the adapter (default: the task's head)")

const frozenNorms = flag('whether the weights and statistics of normalization layers stay fixed (default false)')
const decay = factor(
  'the learning rate of each block, as a share of the rate of the next block towards the output (default 0.95)',
)
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
      .describe("a list of modules whose weights all learn and are saved with the adapter (default: the task's head)")
      .optional(),
    rankStabilized: flag('whether to scale by alpha / sqrt(rank) (default false)').optional(),
    dora: flag('whether the norms of the weights learn too, as in DoRA (default false)').optional(),
    init: z
      .literal('pissa')
      .describe(
        "'pissa': the factors begin with the largest singular values of the weights (default: one factor begins as zeros)",
      )
      .optional(),
    quantize: z
      .enum(['q8_0', 'q4_0', 'nf4'])
      .describe(
        "'q8_0', 'q4_0' or 'nf4': the format in which frozen linear layers are stored, as in QLoRA (default: floats)",
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
      .describe(
        "a list of layers' names, or a regular expression: the targets that scale their inputs, not their outputs",
      )
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
        "'prompt' (default: learned embeddings before those of the tokens) or 'prefix' (learned keys and values in every layer)",
      )
      .optional(),
    tokens: count('how many learned tokens stand before each text'),
  })
  .describe('a table such as { tokens: 20 }')

const layerwise = z
  .strictObject({ decay: decay.optional(), headLr: headRate.optional(), freezeNorms: frozenNorms.optional() })
  .describe('a table such as { decay: 0.9, headLr: 1e-3 }: the learning rate falls from the output to the input')

const gradual = z
  .strictObject({
    everyEpochs: count('epochs after which the next group begins to learn (default 1)').optional(),
    everySteps: count('steps after which the next group begins to learn, instead of epochs').optional(),
    groups: z
      .array(oneOrMore)
      .min(1)
      .describe(
        "a list of modules' paths, or of lists of paths, in the order in which they begin to learn (default: the head, then each block from the output to the input)",
      )
      .optional(),
    decay: decay.optional(),
    headLr: headRate.optional(),
  })
  .describe('a table such as { everyEpochs: 1, decay: 0.9 }: one block after the other begins to learn')

const probe = z
  .strictObject({
    epochs: count('epochs in which only the head learns (default 1)').optional(),
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
        .strictObject({
          norms: flag('whether the weights of normalization layers learn too (default false)').optional(),
        })
        .describe('a table such as { norms: true }'),
    }),
    z.strictObject({ lora }),
    z.strictObject({ ia3 }),
    z.strictObject({ prompt }),
    z.strictObject({
      last: count('how many of the last blocks learn together with the head'),
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
