/** Tables and bars as text. */

/** Rows of cells as lines, with the first column aligned left and the others right. */
export function tableLines(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[column] as number) : cell.padStart(widths[column] as number),
      )
      .join('  '),
  )
}

const barLength = 24

/**
 * A bar as long as the logarithm of `ratio`; `most` fills the whole length. A ratio of 1 has one mark, so that each row
 * has a bar.
 */
export function bar(ratio: number, most: number): string {
  const share = most > 1 ? Math.log(ratio) / Math.log(most) : 1
  return '#'.repeat(1 + Math.round((barLength - 1) * Math.min(1, Math.max(0, share))))
}
