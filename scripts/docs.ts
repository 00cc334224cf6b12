/**
 * Writes the pages of the API: docs/api, a page a family, from the doc comments. Usage: npm run docs [-- --check]
 *
 * All exports of a family's file are public, so the families are the files that an index exports whole.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Application, Comment, Converter, DeclarationReflection, OptionDefaults, ReflectionKind } from 'typedoc'
import type { PluginOptions } from 'typedoc-plugin-markdown'
import { firstPage, introductions } from './pages.js'

const root = fileURLToPath(new URL('..', import.meta.url))
// A name that several files export is on the page of the first.
const indices = [
  'ops',
  'distributions',
  'linalg',
  'nn',
  'optim',
  'data',
  'data/datasets',
  'data/text',
  'text',
  'images',
  'train',
  'models',
  'tasks',
  'pretrain',
  'finetune',
  '',
].map((folder) => join('lib', folder, 'index.ts'))

/** The files that an index exports whole, and the index itself if it names exports. */
function entriesOf(index: string): readonly string[] {
  const text = readFileSync(join(root, index), 'utf8')
  const whole = [...text.matchAll(/^export \* from '\.\/(.*)\.js'$/gm)].map(([, file]) =>
    join(dirname(index), `${file}.ts`),
  )
  const names = /^export (?!\* from)/m.test(text)
  return [...whole.filter((file) => !indices.includes(file)), ...(names ? [index] : [])]
}

const options: Partial<PluginOptions> = {
  hidePageHeader: true,
  hideBreadcrumbs: true,
  expandObjects: false,
  parametersFormat: 'table',
  propertiesFormat: 'table',
  interfacePropertiesFormat: 'table',
  useCodeBlocks: false,
}
const app = await Application.bootstrapWithPlugins({
  entryPoints: indices.flatMap(entriesOf),
  plugin: ['typedoc-plugin-markdown'],
  router: 'module',
  tsconfig: join(root, 'tsconfig.json'),
  readme: 'none',
  excludeInternal: true,
  excludePrivate: true,
  blockTags: [...OptionDefaults.blockTags, '@ts-expect-error'],
  disableSources: true,
  sort: ['source-order'],
  logLevel: 'Warn',
  ...(options as object),
})
let isComplete = false
// A layer's page has only its own members. Those of every module are on Module's page.
app.converter.on(Converter.EVENT_RESOLVE_END, ({ project }) => {
  for (const reflection of Object.values(project.reflections))
    if (reflection instanceof DeclarationReflection && reflection.inheritedFrom) project.removeReflection(reflection)
  const first = (text: string) => new Comment([{ kind: 'text', text }])
  const found = project.getReflectionsByKind(ReflectionKind.Module | ReflectionKind.Namespace)
  const known = new Set(found.map(({ name }) => name))
  const missing = [...known].filter((name) => introductions[name] === undefined)
  const surplus = Object.keys(introductions).filter((name) => !known.has(name))
  for (const name of missing) console.error(`scripts/pages.ts has no first sentence for the page ${name}; write one`)
  for (const name of surplus) console.error(`scripts/pages.ts has a sentence for ${name}, which is no page; remove it`)
  isComplete = missing.length === 0 && surplus.length === 0
  for (const page of found) page.comment = first(introductions[page.name] ?? '')
  project.comment = first(firstPage)
})
const project = await app.convert()
if (project === undefined) process.exit(1)
const pages = join(root, 'docs/api')
const checks = process.argv.includes('--check')
const out = checks ? mkdtempSync(join(tmpdir(), 'firesteel-docs-')) : pages
if (!checks) rmSync(pages, { recursive: true, force: true })
app.options.setValue('out', out)
await app.generateOutputs(project)
// The first page is a list of the others, which says little by their names alone.
const list = join(out, 'README.md')
const described = readFileSync(list, 'utf8').replace(
  /^- \[(.+)\]\(.+\)$/gm,
  (line, name: string) => `${line}: ${introductions[name] ?? ''}`,
)
writeFileSync(list, described)
if (checks) {
  const { status } = spawnSync('diff', ['-r', '-q', out, pages], { stdio: 'inherit' })
  rmSync(out, { recursive: true })
  if (status !== 0) console.error('docs/api is not what the comments say; run npm run docs')
  console.log(status === 0 && isComplete ? '1 passed, 0 failed' : '0 passed, 1 failed')
  process.exitCode = status === 0 && isComplete ? 0 : 1
} else if (!isComplete) process.exitCode = 1
