/** Pages of one file: no script, and nothing loaded from elsewhere. */

const escapes: { readonly [character: string]: string } = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Text, escaped for HTML. */
export const escaped = (text: unknown): string =>
  String(text).replace(/[&<>"']/g, (character) => escapes[character] as string)

/** A number for a table: up to five digits. */
export const digits = (value: number): string =>
  Number.isFinite(value) ? String(Number(value.toPrecision(5))) : String(value)

const cell = (value: unknown): string =>
  typeof value === 'number' ? `<td class="number">${digits(value)}</td>` : `<td>${escaped(value ?? '')}</td>`

/** A table whose cells are numbers or texts. A null makes an empty cell. */
export function tableOf(heads: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const head = `<tr>${heads.map((each) => `<th>${escaped(each)}</th>`).join('')}</tr>`
  return `<table>\n${[head, ...rows.map((row) => `<tr>${row.map(cell).join('')}</tr>`)].join('\n')}\n</table>`
}

const style = `body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em; color: #1c2430; background: #fff }
table { border-collapse: collapse; margin: 1em 0; display: block; overflow-x: auto }
th, td { border-bottom: 1px solid #d8dde5; padding: .25em .8em; text-align: left; vertical-align: top }
.number { text-align: right; font-variant-numeric: tabular-nums }
h1 { font-size: 1.5em } h2 { font-size: 1.15em; margin-top: 2em } p.note { color: #556 }
svg { max-width: 100%; margin: .5em 1em .5em 0 } svg text { font: 12px system-ui, sans-serif; fill: #445 }`

/** A page; `parts` are HTML. */
export function page(title: string, parts: readonly string[]): string {
  const name = escaped(title)
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${name}</title>
<style>
${style}
</style>
</head>
<body>
<h1>${name}</h1>
${parts.filter((part) => part !== '').join('\n')}
</body>
</html>
`
}
