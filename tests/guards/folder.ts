/**
 * The folder of the files that guards write. It is the working folder, because a text in place of a path is a path in
 * that folder.
 */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const folder = mkdtempSync(join(tmpdir(), 'firesteel-guards-'))
process.chdir(folder)

export const path = (name: string): string => join(folder, name)
