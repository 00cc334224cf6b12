/** Writes the JSON schemas of configs, with which editors complete and check them. Usage: tsx scripts/schema.ts */
import { mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { jsonSchemas } from '../lib/cli/config/json-schema.js'

const folder = fileURLToPath(new URL('../schema/', import.meta.url))
mkdirSync(folder, { recursive: true })
for (const [name, text] of Object.entries(jsonSchemas())) writeFileSync(`${folder}${name}`, text)
