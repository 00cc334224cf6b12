/** The schemas of configs in the form that editors read. */
import * as z from 'zod'
import { finetuneSchema, pretrainSchema, tableSchema } from './schema.js'

/** The texts of the files in `schema/`, by name. */
export function jsonSchemas(): { readonly [name: string]: string } {
  const text = (schema: z.ZodType, title: string) =>
    `${JSON.stringify({ title, ...z.toJSONSchema(schema, { target: 'draft-7', io: 'input' }) }, null, 2)}\n`
  return {
    'finetune.json': text(finetuneSchema, 'firesteel finetune'),
    'pretrain.json': text(z.union([pretrainSchema, tableSchema]), 'firesteel pretrain'),
  }
}
