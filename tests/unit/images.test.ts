/** Pictures: folders, decoding and augmentations. Those that are not random are compared with torchvision's. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ImageDataset } from '../../lib/data/datasets/index.js'
import * as colour from '../../lib/images/colour.js'
import { rotated } from '../../lib/images/geometry.js'
import {
  augment,
  centerCrop,
  colorJitter,
  cutmix,
  type ImageStep,
  imageFolder,
  mixup,
  normalize,
  Picture,
  pictures,
  randAugment,
  randomCrop,
  randomErasing,
  randomHorizontalFlip,
  randomResizedCrop,
  randomRotation,
  randomVerticalFlip,
  resize,
} from '../../lib/images/index.js'
import { inverseAffine, warp } from '../../lib/images/sample.js'
import { cat, DataLoader, Generator, nn, ones, splitRows, tensor, ValueError, zeros } from '../../lib/index.js'
import { torchvision } from './torchvision.js'

const folder = mkdtempSync(join(tmpdir(), 'firesteel-images-'))
afterAll(() => rmSync(folder, { recursive: true }))

const [height, width, channels] = [5, 6, 3]
const input = new Picture(
  Uint8Array.from({ length: height * width * channels }, (_, k) => {
    const [i, j, c] = [Math.floor(k / (width * channels)), Math.floor(k / channels) % width, k % channels]
    return 37 * i + 61 * j + 97 * c + 13 * i * j
  }),
  height,
  width,
  channels,
)
const generator = () => new Generator(3)
const run = (step: ImageStep, picture = input, own = generator()) => step(picture, own)
const sizes = ({ height, width, channels }: Picture) => [height, width, channels]

describe('what torchvision does', () => {
  const affine = (parts: Parameters<typeof inverseAffine>[0]) => warp(input, inverseAffine(parts), false, 0)
  const tan = (share: number) => (Math.atan(share) * 180) / Math.PI
  const corner = [-width / 2, -height / 2] as const
  const cases: { readonly [name in Exclude<keyof typeof torchvision, 'equalize'>]: readonly [Picture, off?: number] } =
    {
      resizeDown: [run(resize([3, 4])), 1],
      resizeUp: [run(resize([7, 9])), 1],
      shorter: [run(resize(3)), 1],
      rotateNearest: [rotated(input, 30, false, 0)],
      rotateBilinear: [rotated(input, -20, true, 0), 1],
      shearX: [affine({ shear: [tan(0.25), 0], center: corner })],
      shearY: [affine({ shear: [0, tan(-0.25)], center: corner })],
      translate: [affine({ translate: [2, 0] })],
      brightness: [colour.brightness(input, 1.3), 1],
      contrast: [colour.contrast(input, 0.6), 1],
      saturation: [colour.saturation(input, 1.7), 1],
      hue: [colour.hue(input, 0.2), 1],
      hueBack: [colour.hue(input, -0.4), 1],
      sharpness: [colour.sharpness(input, 1.8), 1],
      posterize: [colour.posterize(input, 3)],
      solarize: [colour.solarize(input, 100)],
      autoContrast: [colour.autoContrast(input)],
      centerSmall: [run(centerCrop(3))],
      centerBig: [run(centerCrop([7, 8]))],
    }
  it.each(Object.entries(cases))('%s', (name, [picture, off = 0]) => {
    const expected = Buffer.from(torchvision[name as keyof typeof torchvision], 'base64')
    expect(picture.data.length).toBe(expected.length)
    const farthest = expected.reduce(
      (most, value, i) => Math.max(most, Math.abs(value - (picture.data[i] as number))),
      0,
    )
    expect(farthest).toBeLessThanOrEqual(off)
  })

  it('equalize, and normalize', () => {
    const side = 40
    const big = Uint8Array.from({ length: side * side * 3 }, (_, i) => {
      const k = (i % 3) * side * side + Math.floor(i / 3)
      return Math.floor((Math.floor((7 * k) / 11) % 200) / 3)
    })
    const { data } = colour.equalize(new Picture(big, side, side, 3))
    expect([...data].filter((_, i) => i % 97 === 0)).toEqual([...Buffer.from(torchvision.equalize, 'base64')])
    const [red, green, blue] = run(normalize('imagenet')).data
    for (const [own, value] of [
      [red, -2.1179],
      [green, -0.33753],
      [blue, 1.57682],
    ] as const)
      expect(own).toBeCloseTo(value, 4)
  })
})

describe('random steps', () => {
  it('crop a part of the picture, wherever it may be, and padding around it', () => {
    const seen = new Set<string>()
    const own = generator()
    for (let i = 0; i < 200; i++) {
      const part = randomCrop([4, 5])(input, own)
      expect(sizes(part)).toEqual([4, 5, 3])
      seen.add(String(part.data[0]))
    }
    // A part can begin at two rows and two columns.
    expect(seen).toEqual(new Set(['0', '37', '61', '111']))
    expect(sizes(run(randomCrop(9, { padding: 2, fill: 7 })))).toEqual([9, 9, 3])
    expect(() => run(randomCrop(6))).toThrow('a part of 6 x 6 does not fit into the picture of 5 x 6')
    expect(sizes(run(randomCrop(6, { padIfNeeded: true })))).toEqual([6, 6, 3])
  })

  it('flip, and twice is nothing', () => {
    for (const flip of [randomHorizontalFlip, randomVerticalFlip]) {
      const once = run(flip(1))
      expect(once.data).not.toEqual(input.data)
      expect(run(flip(1), once).data).toEqual(input.data)
      expect(run(flip(0))).toBe(input)
    }
    expect(run(randomHorizontalFlip(1)).data.slice(0, 3)).toEqual(input.data.slice(15, 18))
    expect(run(randomVerticalFlip(1)).data.slice(0, 18)).toEqual(input.data.slice(72))
  })

  it('crop and resize parts within the bounds of area and form', () => {
    const column = new Picture(
      Uint8Array.from({ length: 100 }, (_, i) => i),
      100,
      1,
      1,
    )
    // No part of a column is as wide as it is high, so the middle is taken.
    expect(run(randomResizedCrop(1, { ratio: [1, 1] }), column).data[0]).toBe(49)
    expect(sizes(run(randomResizedCrop([8, 4])))).toEqual([8, 4, 3])
    expect(run(randomResizedCrop([height, width], { scale: [1, 1], ratio: [1.2, 1.2] })).data).toEqual(input.data)
  })

  it('turn by an angle within the bounds', () => {
    expect(run(randomRotation(0)).data).toEqual(input.data)
    expect(run(randomRotation([30, 30])).data).toEqual(rotated(input, 30, false, 0).data)
  })

  it('erase a rectangle and nothing else', () => {
    const flat = new Picture(new Uint8Array(400).fill(9), 20, 20, 1)
    const { data } = run(randomErasing({ p: 1, value: 1 }), flat)
    const erased = [...data.keys()].filter((i) => data[i] === 1)
    const [top, bottom] = [erased[0] as number, erased.at(-1) as number].map((i) => Math.floor(i / 20)) as [
      number,
      number,
    ]
    const columns = new Set(erased.map((i) => i % 20))
    expect(erased.length).toBe((bottom - top + 1) * columns.size)
    expect(erased.length / 400).toBeGreaterThan(0.01)
    expect(erased.length / 400).toBeLessThan(0.36)
    expect(run(randomErasing({ p: 0 }), flat)).toBe(flat)
    expect(() => run(randomErasing({ value: 'random' }))).toThrow('put normalize(...) before it')
    const floats = run(randomErasing({ p: 1, value: 'random' }), run(normalize()))
    expect(floats.data).not.toEqual(run(normalize()).data)
  })

  it('change colours within the bounds, and leave what they do not name', () => {
    expect(run(colorJitter({})).data).toEqual(input.data)
    expect(run(colorJitter({ brightness: [0, 0] })).data.every((value) => value === 0)).toBe(true)
    expect(run(colorJitter({ saturation: [0.5, 0.5] })).data).toEqual(colour.saturation(input, 0.5).data)
    const grey = new Picture(Uint8Array.of(10, 20), 1, 2, 1)
    expect(run(colorJitter({ hue: 0.5, saturation: 0.5 }), grey).data).toEqual(grey.data)
  })

  it('of RandAugment all come, and all of them are reproducible', () => {
    const results = new Set<string>()
    for (let seed = 0; seed < 100; seed++)
      results.add(String(randAugment({ numOps: 1, magnitude: 30 })(input, new Generator(seed)).data))
    // There are 14 changes, nine of which have two signs. Some may give the same result on so small a picture.
    expect(results.size).toBeGreaterThan(15)
    expect(run(randAugment()).data).toEqual(run(randAugment()).data)
    expect(() => run(randAugment(), run(normalize()))).toThrow('put it before normalize')
  })

  it('leave the picture that they are given as it is', () => {
    const before = input.data.slice()
    for (const step of [
      randAugment({ numOps: 9 }),
      randomErasing({ p: 1 }),
      colorJitter({ hue: 0.5, contrast: 1 }),
      normalize(),
    ])
      run(step)
    expect(input.data).toEqual(before)
  })

  const wrong: readonly (readonly [make: () => unknown, message: string])[] = [
    [() => randomCrop(0), '[randomCrop] size is 0'],
    [() => randomCrop([3] as never), '[randomCrop] size is [3]'],
    [() => randomCrop(3, { pad: 1 } as never), 'there is no option pad'],
    [() => randomHorizontalFlip(1.1), '[randomHorizontalFlip] p is 1.1'],
    [() => randomResizedCrop(3, { scale: [0.5, 0.1] }), '[randomResizedCrop] scale is [0.5, 0.1]'],
    [() => randomRotation(-1), '[randomRotation] degrees is -1'],
    [() => randomErasing({ value: 'noise' as never }), "[randomErasing] value is 'noise'"],
    [() => colorJitter({ hue: 0.51 }), '[colorJitter] hue is 0.51'],
    [() => colorJitter({ brightness: -0.1 }), '[colorJitter] brightness is -0.1'],
    [() => randAugment({ magnitude: 31 }), '[randAugment] magnitude is 31'],
    [() => normalize('cifar' as never), "[normalize] unknown statistics 'cifar'"],
    [() => normalize({ mean: 0, std: 0 }), '[normalize] std is 0'],
    [() => run(normalize({ mean: [0, 0], std: 1 })), '[normalize] mean has 2 numbers, but the picture has 3'],
    [() => augment(3 as never), '[augment] step 0 is the number 3'],
    [() => augment()(input, undefined as never), '[augment] the row has no random numbers'],
    [() => augment()([1] as never, { generator: generator() }), '[augment] the row is an array without a picture'],
    [() => new Picture(new Uint8Array(5), 2, 2, 1), '[Picture] 5 numbers do not fill'],
    [() => new Picture([1] as never, 1, 1, 1), '[Picture] data are an array'],
    [() => mixup(0), '[mixup] alpha is 0'],
  ]
  it.each(wrong)('refuse %s', (make, message) => expect(make).toThrow(message))
})

describe('mixup and cutmix', () => {
  const images = cat([zeros([1, 1, 4, 4]), ones([1, 1, 4, 4])])
  const labels = tensor([0, 1], { dtype: 'int32' })

  it('mix images and labels by one share, so that a loss sees both', () => {
    for (let seed = 0; seed < 20; seed++) {
      const [mixed, probabilities] = mixup(1, { classes: 2 })([images, labels], new Generator(seed))
      const share = 1 - mixed.select(0, 0).max().item()
      expect((probabilities.toArray() as number[][])[0]?.[0]).toBeCloseTo(share, 6)
      expect((probabilities.toArray() as number[][])[1]?.[1]).toBeCloseTo(share, 6)
    }
    const areas = new Set<number>()
    for (let seed = 0; seed < 20; seed++) {
      const [mixed, probabilities] = cutmix(1, { classes: 2 })([images, labels], new Generator(seed))
      const cut = mixed.select(0, 0).sum().item() / 16
      expect((probabilities.toArray() as number[][])[0]?.[1]).toBeCloseTo(cut, 6)
      areas.add(cut)
    }
    expect(areas.size).toBeGreaterThan(1)
    const [, probabilities] = mixup(0.2, { classes: 2 })([images, labels], generator())
    const logits = tensor([
      [1, 2],
      [3, 4],
    ])
    expect(nn.functional.crossEntropy(logits, probabilities).item()).toBeGreaterThan(0)
  })

  it('draw shares of Beta(alpha, alpha)', () => {
    for (const [alpha, variance] of [
      [0.2, 1 / (4 * 1.4)],
      [1, 1 / 12],
      [4, 1 / 36],
    ] as const) {
      const own = generator()
      const shares = Array.from({ length: 400 }, () => {
        const [mixed] = mixup(alpha, { classes: 2 })([images, labels], own)
        return mixed.select(0, 0).max().item()
      })
      const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length
      const spread = shares.reduce((sum, share) => sum + (share - mean) ** 2, 0) / shares.length
      expect(mean).toBeCloseTo(0.5, 1)
      expect(spread / variance).toBeGreaterThan(0.8)
      expect(spread / variance).toBeLessThan(1.2)
    }
  })

  it('refuse batches of bytes, of float labels, and labels of unknown classes', () => {
    const through = (...batch: Parameters<ReturnType<typeof mixup>>[0]) => mixup(1)(batch, generator())
    expect(() => through(images, labels)).toThrow('mixup(alpha, { classes: 10 })')
    expect(() => through(images.to('uint8'), labels)).toThrow('images are uint8')
    expect(() => through(images, labels.to('float32'))).toThrow('labels are float32')
    expect(() => through(images, tensor([1], { dtype: 'int32' }))).toThrow('must be [N, C, H, W]')
  })
})

describe('a folder of pictures', () => {
  const place = (...names: readonly string[]) => join(folder, 'flowers', ...names)
  const png = (value: number, side = 4) =>
    sharp({ create: { width: side + 1, height: side, channels: 3, background: { r: value, g: 0, b: 255 } } })
      .png()
      .toBuffer()

  beforeAll(async () => {
    for (const name of ['b', 'a', 'a/deep', '.hidden']) mkdirSync(place(name), { recursive: true })
    writeFileSync(place('a', '2.png'), await png(2))
    writeFileSync(place('a', '1.PNG'), await png(1))
    writeFileSync(
      place('a', 'deep', '3.jpg'),
      await sharp(await png(3))
        .jpeg()
        .toBuffer(),
    )
    writeFileSync(place('a', 'notes.txt'), 'none')
    writeFileSync(place('b', 'x.png'), await png(9))
    writeFileSync(place('readme.md'), 'none')
  })

  it('gives the picture that a file has now', async () => {
    mkdirSync(join(folder, 'changing', 'a'), { recursive: true })
    const path = join(folder, 'changing', 'a', '1.webp')
    for (const value of [255, 0]) {
      writeFileSync(
        path,
        await sharp(await png(value, 64))
          .webp({ lossless: true })
          .toBuffer(),
      )
      const [picture] = await (await imageFolder(join(folder, 'changing'))).get(0)
      expect(picture.data[0]).toBe(value)
    }
  })

  it('has its classes sorted, and rows of pictures with labels', async () => {
    const rows = await imageFolder(place())
    expect(rows.classes).toEqual(['a', 'b'])
    expect(rows.paths).toEqual([
      place('a', '1.PNG'),
      place('a', '2.png'),
      place('a', 'deep', '3.jpg'),
      place('b', 'x.png'),
    ])
    expect([...rows.labels]).toEqual([0, 0, 0, 1])
    expect(rows.skipped).toEqual([place('readme.md'), place('a', 'notes.txt')])
    const [picture, label] = await rows.get(3)
    expect([sizes(picture), label, [...picture.data.slice(0, 3)]]).toEqual([[4, 5, 3], 1, [9, 0, 255]])
    const [images, labels] = await rows.batch([0, 3])
    expect([images.shape, images.dtype, labels.dtype]).toEqual([[2, 3, 4, 5], 'uint8', 'int32'])
    expect(images.select(1, 0).select(1, 0).select(1, 0).toArray()).toEqual([1, 9])
    expect(() => splitRows(rows, { validation: 0.25, stratify: rows.labels, seed: 0 })).toThrow('1 (row 3)')
    const { train } = splitRows(rows, { validation: 0.25, seed: 0 })
    expect(train.length).toBe(3)
  })

  it('is decoded to a size, and to grey', async () => {
    const [colours] = await (await imageFolder(place(), { resize: 2 })).get(0)
    expect(sizes(colours)).toEqual([2, 3, 3])
    const [grey] = await (await imageFolder(place(), { channels: 1, resize: [7, 3] })).get(0)
    expect(sizes(grey)).toEqual([7, 3, 1])
  })

  it('trains as floats, its labels whole numbers, with the same numbers in threads as without', async () => {
    const rows = (await imageFolder(place())).map(
      augment(randomCrop(3, { padding: 1 }), colorJitter({ brightness: 0.5, hue: 0.1 }), normalize('imagenet')),
    )
    const batches = async (workers: number) => {
      const seen: string[] = []
      const loader = new DataLoader(rows, { batchSize: 3, shuffle: true, generator: generator(), workers })
      for await (const [images, labels] of loader) {
        expect([images.dtype, labels.dtype]).toEqual(['float32', 'int32'])
        seen.push(JSON.stringify([images.toArray(), labels.toArray()]))
      }
      return seen
    }
    expect(await batches(1)).toEqual(await batches(0))
  })

  it('names the file that is broken, and what a folder lacks', async () => {
    const [truncated, text, empty] = ['cut', 'text', 'empty'].map((name) => join(folder, name, 'c'))
    for (const path of [truncated, text, empty]) mkdirSync(path as string, { recursive: true })
    const whole = await sharp(await png(5, 64))
      .jpeg()
      .toBuffer()
    writeFileSync(join(truncated as string, 'x.jpg'), whole.subarray(0, whole.length / 2))
    writeFileSync(join(text as string, 'x.png'), 'no picture')
    for (const path of [truncated, text]) {
      const broken = await imageFolder(join(path as string, '..'))
      await expect(broken.get(0)).rejects.toThrow(
        `${join(path as string, broken.paths[0]?.slice(-5) as string)} cannot be decoded`,
      )
      await expect(broken.get(0)).rejects.toThrow(ValueError)
    }
    await expect(imageFolder(join(folder, 'empty'))).rejects.toThrow(`${empty} has no pictures`)
    await expect(imageFolder(empty as string)).rejects.toThrow('has no folders')
    await expect(imageFolder(join(folder, 'none'))).rejects.toThrow('[imageFolder] cannot read')
    await expect(imageFolder(place(), { size: 3 } as never)).rejects.toThrow('there is no option size')
    symlinkSync(join(folder, 'empty'), join(empty as string, 'round'))
    await expect(imageFolder(join(folder, 'empty'))).rejects.toThrow(ValueError)
  })
})

it('images of bytes are pictures, too', async () => {
  const bytes = Uint8Array.from({ length: 2 * 3 * 2 * 2 }, (_, i) => i)
  const rows = pictures(new ImageDataset(bytes, Uint8Array.of(4, 5), [3, 2, 2]))
  const [picture] = await rows.get(1)
  expect([...picture.data]).toEqual([12, 16, 20, 13, 17, 21, 14, 18, 22, 15, 19, 23])
  const [images, labels] = await rows.batch([1])
  expect([...(await images.data())]).toEqual([...bytes.slice(12)])
  expect([labels.dtype, labels.toArray()]).toEqual(['int32', [5]])
  expect(() => pictures([] as never)).toThrow('[pictures] takes an ImageDataset')
})
