// Usage: node digits-node.mjs FOLDER STEPS
import { readFileSync } from 'node:fs'
import { firstSteps } from './digits.mjs'

const [folder, steps] = process.argv.slice(2)
const read = (name) => new Uint8Array(readFileSync(`${folder}/${name}`))
const result = await firstSteps(read('train-images-idx3-ubyte'), read('train-labels-idx1-ubyte'), Number(steps))
console.log(JSON.stringify(result))
