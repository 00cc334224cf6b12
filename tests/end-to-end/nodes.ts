/** The versions of Node that are promised, as binaries: this process's own, or those of npm's `node` packages. */
import { spawnSync } from 'node:child_process'

export interface NodeBinary {
  readonly version: string
  readonly path: string
}

function find(major: number): NodeBinary {
  if (process.versions.node.startsWith(`${major}.`)) return { version: process.versions.node, path: process.execPath }
  const script = 'console.log(JSON.stringify({ version: process.versions.node, path: process.execPath }))'
  const { stdout, stderr, status } = spawnSync('npx', ['-y', '-p', `node@${major}`, 'node', '-e', script], {
    encoding: 'utf8',
    // A newer npm may look for a binary in its own prefix, and outside this package it has none.
    cwd: '/',
  })
  if (status !== 0) throw new Error(`npm's package node@${major} does not run: ${stderr}`)
  return JSON.parse(stdout) as NodeBinary
}

/** The majors to run on, from FIRESTEEL_TEST_NODES, such as '20,22,24'. */
export function nodesToTest(fallback: string): NodeBinary[] {
  return (process.env['FIRESTEEL_TEST_NODES'] || fallback).split(',').map((major) => find(Number(major)))
}

export const thisNode: NodeBinary = { version: process.versions.node, path: process.execPath }
