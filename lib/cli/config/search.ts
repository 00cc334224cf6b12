/** The table `search` of a config: what `firesteel search` tries. */
import * as z from 'zod'
import { count } from './fields.js'

const range = (kind: string) => z.strictObject({ [kind]: z.tuple([z.number(), z.number()]) })

const distribution = z.union([z.array(z.unknown()).min(1), range('uniform'), range('logUniform'), range('integer')])

const goal = z.string().min(1)

export const search = z
  .strictObject({
    space: z
      .record(z.string().min(1), distribution)
      .describe(
        "a table of what to try by the names of the config's values, each a list or a range, such as { train.lr: { logUniform: [1e-5, 1e-3] }, train.batchSize: { integer: [2, 8] }, method: [head, { lora: { rank: 8 } }] }; there are uniform, logUniform and integer",
      ),
    method: z
      .enum(['random', 'grid'])
      .describe("'random' (default: each trial draws its values) or 'grid' (all combinations of lists and integers)")
      .optional(),
    trials: count('the number of trials to draw (required, except for a grid)').optional(),
    maximise: goal
      .describe("the number of an epoch to maximise, such as 'validation.accuracy', in place of minimise")
      .optional(),
    minimise: goal.describe("the number of an epoch to minimise, such as 'validation.loss' (default)").optional(),
    halving: z
      .strictObject({
        epochs: z.array(z.int().positive()).min(1).describe('a list of rising numbers of epochs, such as [1, 3, 9]'),
      })
      .describe(
        'a table such as { epochs: [1, 3, 9] }: all trials train for the first number of epochs, the best for the next',
      )
      .optional(),
    prune: z
      .literal('median')
      .describe("'median': ends trials that are worse than the median of earlier ones (default: none ends early)")
      .optional(),
    seed: z
      .int()
      .min(0)
      .describe('a whole number of at least 0: the seed by which trials draw their values (default 0)')
      .optional(),
  })
  .describe(
    'a table such as { space: { train.lr: { logUniform: [1e-5, 1e-3] } }, trials: 20 }, which only `firesteel search` uses',
  )

/** The table `search` of a config, in the form of a file. */
export type SearchConfig = z.infer<typeof search>
