/** Contrastive objectives against their losses, and the two views from which they learn. */
import { describe, expect, it } from 'vitest'
import { recipeOf } from '../../lib/data/recipe.js'
import { augment, normalize, Picture, type PictureRow, randomCrop, twoViews } from '../../lib/images/index.js'
import {
  DataLoader,
  FunctionDataset,
  Generator,
  infoNce,
  nn,
  noGrad,
  ntXent,
  optim,
  randn,
  stack,
  supervisedContrastive,
  type Tensor,
  Trainer,
  tensor,
  tripletMarginLoss,
} from '../../lib/index.js'
import { type ResNet, resnet } from '../../lib/models/index.js'
import { type ContrastiveLoss, contrastive, Projected } from '../../lib/pretrain/index.js'

const rows = (count: number, seed: number, ...rest: readonly number[]) =>
  randn([count, ...rest], { generator: new Generator(seed) })
const [a, b, c] = [rows(4, 1, 5), rows(4, 2, 5), rows(3, 3, 5)]
const model = new nn.Linear(5, 3, { generator: new Generator(9) })
const through = (x: Tensor): Tensor => model.forward(x) as Tensor
const numberOf = (x: Tensor | number): number => (typeof x === 'number' ? x : (x.item() as number))
const labels = tensor([2, 0, 2, 1], { dtype: 'int32' })

describe('contrastive', () => {
  it('is the loss of all vectors, as a sum and its count', () => {
    const vectors = { a: through(a), b: through(b), c: through(c) }
    const cases = [
      [contrastive({ loss: 'ntXent' }).loss(model, [a, b]), ntXent(vectors.a, vectors.b), 8],
      [contrastive({ loss: 'ntXent' }).loss(model, [[a, b], labels]), ntXent(vectors.a, vectors.b), 8],
      [
        contrastive({ loss: 'infoNce', temperature: 0.2 }).loss(model, [a, b]),
        infoNce(vectors.a, vectors.b, { temperature: 0.2 }),
        4,
      ],
      [
        contrastive({ loss: 'infoNce' }).loss(model, [a, b, c]),
        infoNce(vectors.a, vectors.b, { negatives: vectors.c }),
        4,
      ],
      [
        contrastive({ loss: 'supervised' }).loss(model, [a, labels]),
        supervisedContrastive(vectors.a, labels),
        // Two of the labels 2, 0, 2 and 1 have a partner.
        2,
      ],
      [
        contrastive({ loss: 'triplet', margin: 0.3 }).loss(model, [a, b, rows(4, 4, 5)]),
        tripletMarginLoss(vectors.a, vectors.b, through(rows(4, 4, 5)), { margin: 0.3 }),
        4,
      ],
    ] as const
    for (const [{ total, count }, mean, expected] of cases) {
      expect(numberOf(count)).toBe(expected)
      expect(numberOf(total) / expected).toBeCloseTo(numberOf(mean), 5)
    }
    const { total, count } = contrastive({ loss: 'supervised' }).loss(model, [[a, b], labels])
    const stacked = supervisedContrastive(stack([vectors.a, vectors.b], 1), labels)
    expect(count).toBe(8)
    expect(numberOf(total) / 8).toBeCloseTo(numberOf(stacked), 5)
  })

  it('tells each anchor from the hard negatives of all, however they are listed', () => {
    const several = rows(8, 5, 5)
    const objective = contrastive({ loss: 'infoNce' })
    const flat = objective.loss(model, [a, b, several]).total
    expect(numberOf(objective.loss(model, [a, b, several.reshape([4, 2, 5])]).total)).toBe(numberOf(flat))
    expect(numberOf(flat)).toBeGreaterThan(numberOf(objective.loss(model, [a, b]).total))
  })

  it('runs the model once, so that batch norm sees all of the batch', () => {
    const norm = new nn.Sequential(new nn.Linear(5, 3), new nn.BatchNorm1d(3))
    const seen: number[] = []
    norm.at(1)?.registerForwardHook((_, [x]) => void seen.push((x as Tensor).sizes[0] as number))
    contrastive({ loss: 'infoNce' }).loss(norm, [a, b, c])
    expect(seen).toEqual([11])
  })

  it('predicts the vectors of the first part', () => {
    const objective = contrastive({ loss: 'ntXent' })
    for (const batch of [[a, b] as const, [[a, b], labels] as const])
      expect(objective.predict?.(model, batch).toArray()).toEqual(through(a).toArray())
  })

  it('refuses options of another loss, and batches of another form', () => {
    expect(() => contrastive({ loss: 'simclr' as ContrastiveLoss })).toThrow(
      /must be one of ntXent, infoNce, supervised, triplet/,
    )
    expect(() => contrastive({ loss: 'ntXent', margin: 1 })).toThrow(/margin is 1, but the loss ntXent does not use it/)
    expect(() => contrastive({ loss: 'triplet', temperature: 1 })).toThrow(/temperature is 1, but the loss triplet/)
    for (const temperature of [0, -1, Number.NaN])
      expect(() => contrastive({ loss: 'infoNce', temperature })).toThrow(/temperature is/)
    expect(() => contrastive({ loss: 'ntXent' }).loss(model, [a] as never)).toThrow(
      /the second view of the batch is undefined/,
    )
    expect(() => contrastive({ loss: 'triplet' }).loss(model, [a, b] as never)).toThrow(
      /negatives of the batch is undefined/,
    )
    expect(() => contrastive({ loss: 'supervised' }).loss(model, [[a, b]] as never)).toThrow(/labels of the batch/)
    expect(() => contrastive({ loss: 'infoNce' }).loss(model, [a, rows(4, 2, 6)])).toThrow(/must have the same shape/)
    const flat = new nn.Sequential(model, new nn.Flatten(0))
    expect(() => contrastive({ loss: 'ntXent' }).loss(flat, [a, b])).toThrow(/gives \[24\] for 8 rows.*\[8, D\]/)
  })
})

describe('two views', () => {
  const picture = new Picture(
    Uint8Array.from({ length: 8 * 8 * 3 }, (_, i) => i),
    8,
    8,
    3,
  )
  const views = twoViews(randomCrop(4), normalize())
  const context = () => ({ generator: new Generator(3) })

  it('are drawn one after the other from the numbers of the row', () => {
    const [first, second] = views(picture, context())
    const [generator, step] = [new Generator(3), augment(randomCrop(4), normalize())]
    expect(first).toEqual(step(picture, { generator }))
    expect(second).toEqual(step(picture, { generator }))
    expect(first).not.toEqual(second)
    expect([first.height, first.data instanceof Float32Array]).toEqual([4, true])
  })

  it('stand in the place of the picture, and all else of the row stays', () => {
    const [pair, label] = views([picture, 7] as const, context())
    expect([pair, label]).toEqual([views(picture, context()), 7])
    expect(views({ image: picture, name: 'x' }, context())).toEqual({ image: views(picture, context()), name: 'x' })
    expect(() => views(3 as unknown as PictureRow, context())).toThrow(/\[twoViews\] the row is .*without a picture/)
    expect(() => twoViews(3 as never)).toThrow(/\[twoViews\] step 0 is/)
  })

  it('are made in threads, too', () => {
    expect(recipeOf(views)).toMatchObject({ module: 'firesteel/images', name: 'twoViews' })
    expect(recipeOf(twoViews((each) => each))).toBeUndefined()
  })

  it('teach a ResNet with a projector', async () => {
    // Each image has its own colour, and noise.
    const images = Array.from({ length: 8 }, (_, i) => {
      const generator = new Generator(i)
      const colour = [i & 1, (i >> 1) & 1, i >> 2]
      const bytes = Uint8Array.from(
        { length: 20 * 20 * 3 },
        (_, at) => 100 * (colour[at % 3] as number) + generator.randint(0, 99),
      )
      return new Picture(bytes, 20, 20, 3)
    })
    const generator = new Generator(1)
    const encoder = resnet(18, { width: 4, classes: 2, generator }).body as ResNet
    const network = new Projected(encoder, new nn.Sequential(new nn.Linear(32, 8, { generator })))
    const objective = contrastive({ loss: 'ntXent', temperature: 0.2 })
    const trainer = new Trainer(network, {
      optimizer: new optim.AdamW(network.parameters(), { lr: 3e-3 }),
      objective,
    })
    const data = new FunctionDataset(images.length, (i) => images[i] as Picture).map(
      twoViews(randomCrop(16), normalize()),
    )
    const batch = (await data.batch([0, 1, 2, 3, 4, 5, 6, 7], { seed: 7, epoch: 0 })) as readonly [Tensor, Tensor]
    const lossOf = () => noGrad(() => numberOf(objective.loss(network, batch).total) / 16)
    const before = lossOf()
    const loader = new DataLoader(data, { batchSize: 8, shuffle: true, generator: new Generator(2) })
    await trainer.fit(loader, { epochs: 6, progress: false })
    expect(lossOf()).toBeLessThan(before * 0.85)
    expect(encoder.embed(rows(2, 1, 3, 16, 16)).shape).toEqual([2, 32])
  })
})
