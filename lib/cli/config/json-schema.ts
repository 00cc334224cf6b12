/** The schemas of configs in the form that editors read. */
import * as z from 'zod'
import { finetuneSchema, pretrainSchema, tableSchema } from './schema.js'
import { ownKeys } from './source.js'

/** The schema of a config, which may have keys of the user's own. */
const withOwnKeys = (schema: object) => ({ ...schema, patternProperties: { [ownKeys.source]: {} } })

/** The texts of the files in `schema/`, by name. */
export function jsonSchemas(): { readonly [name: string]: string } {
  const text = (schema: z.ZodType, title: string) => {
    const { anyOf, ...own } = z.toJSONSchema(schema, { target: 'draft-7', io: 'input' })
    const shape = anyOf === undefined ? withOwnKeys(own) : { ...own, anyOf: anyOf.map(withOwnKeys) }
    return `${JSON.stringify({ title, ...shape }, null, 2)}\n`
  }
  return {
    'finetune.json': text(finetuneSchema, 'firesteel finetune'),
    'pretrain.json': text(z.union([pretrainSchema, tableSchema]), 'firesteel pretrain'),
  }
}
