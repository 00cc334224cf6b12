/**
 * Models of images, and the processors of their pixels. tests/models compares the numbers of whole models with
 * transformers'.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import sharp from 'sharp'
import { afterAll, describe, expect, it } from 'vitest'
import { noGrad } from '../../lib/autograd/mode.js'
import { setDefaultDevice } from '../../lib/backend/devices.js'
import { Generator } from '../../lib/core/generator.js'
import type { Tensor } from '../../lib/core/tensor.js'
import { applyLora } from '../../lib/finetune/index.js'
import { augment, ImageProcessor, Picture, preprocess } from '../../lib/images/index.js'
import { type BytePicture, type Resampling, resample } from '../../lib/images/resample.js'
import { AutoModel, type ConfigJson, type ImageClassifier, resnet, vit } from '../../lib/models/index.js'
import { fromTypedArray, tensor } from '../../lib/ops/creation.js'
import { classification } from '../../lib/tasks/index.js'
import type { Objective } from '../../lib/train/index.js'

setDefaultDevice('reference')
const root = mkdtempSync(join(tmpdir(), 'firesteel-vision-'))
afterAll(() => rmSync(root, { recursive: true }))
const log = () => undefined

/** Bytes of a recurrence that Python can compute too. */
function noise(height: number, width: number, channels: number): BytePicture {
  let state = 12345
  const bytes = Uint8Array.from({ length: height * width * channels }, () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    return state >> 16
  })
  return new Picture(bytes, height, width, channels) as BytePicture
}

const waves = (shape: readonly [number, number, number, number]): Tensor =>
  fromTypedArray(
    Float32Array.from({ length: shape.reduce((all, size) => all * size, 1) }, (_, i) => Math.sin(i)),
    shape,
  )
const numbers = (x: Tensor): number[] => Array.from(x.dataSync() as Float32Array)

/** Sizes before and after, channels, and the CRC-32 of Pillow 13.0.0's bytes. */
const pillow: { readonly [by in Resampling]: readonly (readonly number[])[] } = {
  nearest: [
    [23, 31, 11, 17, 3, 3113584908],
    [23, 31, 40, 17, 3, 3181217645],
    [23, 31, 11, 60, 3, 339155867],
    [40, 33, 32, 32, 3, 363458336],
    [23, 31, 46, 62, 1, 809926920],
    [5, 7, 1, 1, 3, 1062422020],
    [40, 31, 32, 27, 3, 884117461],
  ],
  lanczos: [
    [23, 31, 11, 17, 3, 3296181555],
    [23, 31, 40, 17, 3, 3918939763],
    [23, 31, 11, 60, 3, 1914395434],
    [40, 33, 32, 32, 3, 2874866720],
    [23, 31, 46, 62, 1, 219617083],
    [5, 7, 1, 1, 3, 3230414270],
    [40, 31, 32, 27, 3, 1663009247],
  ],
  bilinear: [
    [23, 31, 11, 17, 3, 4203729041],
    [23, 31, 40, 17, 3, 198627940],
    [23, 31, 11, 60, 3, 2927407581],
    [40, 33, 32, 32, 3, 2015848381],
    [23, 31, 46, 62, 1, 2639466362],
    [5, 7, 1, 1, 3, 3079341352],
    [40, 31, 32, 27, 3, 2056542056],
  ],
  bicubic: [
    [23, 31, 11, 17, 3, 2059885453],
    [23, 31, 40, 17, 3, 2151142848],
    [23, 31, 11, 60, 3, 3716644012],
    [40, 33, 32, 32, 3, 2271214077],
    [23, 31, 46, 62, 1, 3866032401],
    [5, 7, 1, 1, 3, 3230414270],
    [40, 31, 32, 27, 3, 185880130],
  ],
  box: [
    [23, 31, 11, 17, 3, 2460449929],
    [23, 31, 40, 17, 3, 1778958125],
    [23, 31, 11, 60, 3, 775307921],
    [40, 33, 32, 32, 3, 215431015],
    [23, 31, 46, 62, 1, 809926920],
    [5, 7, 1, 1, 3, 1691256902],
    [40, 31, 32, 27, 3, 2788185685],
  ],
  hamming: [
    [23, 31, 11, 17, 3, 2954512185],
    [23, 31, 40, 17, 3, 2491364217],
    [23, 31, 11, 60, 3, 732552218],
    [40, 33, 32, 32, 3, 2621724807],
    [23, 31, 46, 62, 1, 301319612],
    [5, 7, 1, 1, 3, 3809736883],
    [40, 31, 32, 27, 3, 3540967960],
  ],
}

describe('resampling', () => {
  for (const [by, cases] of Object.entries(pillow))
    it(`${by} gives Pillow's bytes`, () => {
      for (const [h, w, height, width, channels, expected] of cases as readonly (readonly [
        number,
        number,
        number,
        number,
        number,
        number,
      ])[]) {
        const { data } = resample(noise(h, w, channels), height, width, by as Resampling)
        expect([h, w, height, width, crc32(data as Uint8Array)]).toEqual([h, w, height, width, expected])
      }
    })

  it('gives the picture itself where no side changes', () => {
    const picture = noise(4, 5, 3)
    for (const by of ['nearest', 'lanczos', 'box'] as const)
      expect(resample(picture, 4, 5, by).data).toEqual(picture.data)
  })
})

describe('processors', () => {
  const plain = { image_processor_type: 'ViTImageProcessor', size: { height: 4, width: 6 } }

  it('reads old spellings as the new ones', () => {
    const old = { feature_extractor_type: 'ConvNextFeatureExtractor', size: 12, crop_pct: 0.75 }
    const now = { image_processor_type: 'ConvNextImageProcessorFast', size: { shortest_edge: 12 }, crop_pct: 0.75 }
    const picture = noise(20, 31, 3)
    const [a, b] = [old, now].map((json) => new ImageProcessor(json).process(picture))
    expect([a?.height, a?.width]).toEqual([12, 12])
    expect(a).toEqual(b)
    const list = new ImageProcessor({ ...plain, size: [4, 6] }).process(picture)
    expect(list).toEqual(new ImageProcessor(plain).process(picture))
    expect(new ImageProcessor({ ...plain, size: 5 }).process(picture)).toMatchObject({ height: 5, width: 5 })
  })

  it('squeezes into a square from 384 on, and cuts one out below, as ConvNext does', () => {
    const picture = noise(6, 12, 3)
    const json = { image_processor_type: 'ConvNextImageProcessor', do_rescale: false, do_normalize: false }
    for (const [edge, middle] of [
      [383, true],
      [384, false],
      [385, false],
    ] as const) {
      const out = new ImageProcessor({ ...json, size: { shortest_edge: edge } }).process(picture)
      const inner = Math.trunc(edge / 0.875)
      const [height, width] = middle ? [inner, 2 * inner] : [edge, edge]
      const whole = resample(picture, height, width, 'bicubic')
      const at = Math.floor((width - edge) / 2) + Math.floor((height - edge) / 2) * width
      expect(Array.from(out.data.subarray(0, 30))).toEqual(Array.from(whole.data.subarray(3 * at, 3 * at + 30)))
    }
  })

  it('takes each flag', () => {
    const picture = noise(4, 6, 3)
    const of = (more: object) => new ImageProcessor({ ...plain, ...more }).process(picture).data
    const bytes = Array.from(picture.data)
    expect(Array.from(of({ do_rescale: false, do_normalize: false }))).toEqual(bytes)
    const close = (got: ArrayLike<number>, want: (byte: number) => number) =>
      bytes.forEach((byte, i) => void expect(got[i]).toBeCloseTo(want(byte), 5))
    close(of({ do_normalize: false, rescale_factor: 0.5 }), (byte) => byte / 2)
    close(of({ image_mean: 0.25, image_std: 2 }), (byte) => (byte / 255 - 0.25) / 2)
    expect(new ImageProcessor({ ...plain, do_resize: false }).process(noise(3, 3, 3))).toMatchObject({ height: 3 })
    const cut = new ImageProcessor({ ...plain, do_center_crop: true, crop_size: 2 }).process(picture)
    expect([cut.height, cut.width]).toEqual([2, 2])
  })

  it('makes colours of grey where it is told to, and else names the way out', () => {
    const grey = noise(4, 6, 1)
    const made = new ImageProcessor({ ...plain, do_convert_rgb: true }).process(grey)
    expect(made.channels).toBe(3)
    expect(made.data[0]).toBe(made.data[2])
    expect(() => new ImageProcessor(plain).process(grey)).toThrow(/1 channels.*do_convert_rgb/)
    expect(new ImageProcessor({ ...plain, image_mean: [0.5], image_std: [0.5] }).process(grey).channels).toBe(1)
  })

  it('puts pictures and files together', async () => {
    const picture = noise(9, 11, 3)
    const path = join(root, 'one.png')
    await sharp(picture.data, { raw: { width: 11, height: 9, channels: 3 } })
      .png()
      .toFile(path)
    const processor = new ImageProcessor(plain)
    const pixels = await processor.pixels([picture, path])
    expect(pixels.shape).toEqual([2, 3, 4, 6])
    const values = numbers(pixels)
    expect(values.slice(0, 72)).toEqual(values.slice(72))
    expect(values[0]).toBe(processor.process(picture).data[0])
    expect(values[24]).toBe(processor.process(picture).data[1])
    await expect(processor.pixels([])).rejects.toThrow(/no images/)
    await expect(processor.pixels(join(root, 'none.png'))).rejects.toThrow(/none\.png cannot be decoded/)
    const free = new ImageProcessor({ ...plain, do_resize: false })
    await expect(free.pixels([picture, noise(9, 10, 3)])).rejects.toThrow(/9 x 11 x 3, but picture 1 as 9 x 10 x 3/)
  })

  it('is a step of rows', () => {
    const rows = augment(preprocess(plain))
    const [made, label] = rows([noise(9, 11, 3), 7] as const, { generator: new Generator(0) })
    expect(label).toBe(7)
    expect(made).toEqual(new ImageProcessor(plain).process(noise(9, 11, 3)))
  })

  it('names all that is wrong, and refuses what it does not know', () => {
    const wrong = (json: object) => () => new ImageProcessor(json as ConfigJson)
    const all = { resample: 6, do_resize: 1, image_std: [0, 1, 1], size: { height: 3 }, odd: true }
    for (const name of Object.keys(all)) expect(wrong({ ...plain, ...all })).toThrow(new RegExp(`${name} is`))
    for (const [more, text] of [
      [{ resample: 6 }, /resample is 6, but must be one of 0 \(nearest\)/],
      [{ do_resize: 1 }, /do_resize is 1, but must be true or false/],
      [{ image_std: [0, 1, 1] }, /image_std is/],
      [{ image_mean: [0.5], image_std: [1, 1, 1] }, /1 and 3 channels/],
      [{ size: { height: 3 } }, /size is \{"height":3\}, but must be/],
      [{ size: 32769 }, /size is 32769/],
      [{ odd: true }, /odd is true, but this setting is unknown/],
      [{ pad_size: { shortest_edge: 4 } }, /pad_size is \{"shortest_edge":4\}, but must be \{ height, width \}/],
      [{ size: { longest_edge: 4 } }, /size is \{"longest_edge":4\}, but must be/],
      [{ size: { max_height: 4 } }, /size is \{"max_height":4\}, but must be/],
      [{ size_divisor: 4 }, /size_divisor is 4, but this setting is unknown/],
      [{ crop_pct: 0.9 }, /crop_pct is 0.9, but this setting is unknown/],
      [{ image_processor_type: 'LevitImageProcessor' }, /LevitImageProcessor.*ViT, DeiT, ConvNext, Bit, CLIP/],
    ] as const)
      expect(wrong({ ...plain, ...more })).toThrow(text)
    expect(wrong([])).toThrow(/must be the object/)
    expect(new ImageProcessor({ ...plain, size: 32768, do_resize: false }).toConfig()).toMatchObject({ size: 32768 })
    const thin = new ImageProcessor({ image_processor_type: 'CLIPImageProcessor', size: 100 })
    expect(() => thin.process(noise(1, 400, 3))).toThrow(/1 x 400 pixels would become 100 x 40000/)
    expect(() => new ImageProcessor(plain).process(new Picture(new Float32Array(3), 1, 1, 3))).toThrow(/holds floats/)
    const convNext = { image_processor_type: 'ConvNextImageProcessor' }
    expect(wrong({ ...convNext, do_pad: true })).toThrow(/do_pad is true, but the processor of ConvNext does not pad/)
    const bounded = { size: { shortest_edge: 4, longest_edge: 9 } }
    expect(wrong({ ...convNext, ...bounded })).toThrow(/size must have shortest_edge alone/)
    expect(() => new ImageProcessor({ ...plain, ...bounded }).process(noise(1, 400, 3))).toThrow(/would become 0 x 9/)
  })

  it('pads to a size, or to the largest of the pictures that come together', async () => {
    const json = { ...plain, do_resize: false, do_normalize: false, do_pad: true }
    const [low, narrow] = [noise(2, 5, 3), noise(4, 3, 3)]
    const together = await new ImageProcessor(json).pixels([low, narrow])
    expect(together.shape).toEqual([2, 3, 4, 5])
    const alone = (await new ImageProcessor({ ...json, do_pad: false }).pixels(low)).toArray() as number[][][][]
    const zeros = [0, 0, 0, 0, 0]
    expect((together.toArray() as number[][][][])[0]).toEqual(alone[0]?.map((plane) => [...plane, zeros, zeros]))
    expect(new ImageProcessor(json).process(low)).toMatchObject({ height: 2, width: 5 })
    for (const [side, fits] of [
      [4, false],
      [5, true],
      [6, true],
    ] as const) {
      const own = new ImageProcessor({ ...json, pad_size: { height: side, width: side } })
      if (fits) expect(own.process(low)).toMatchObject({ height: side, width: side })
      else expect(() => own.process(low)).toThrow(/comes out as 2 x 5 pixels, more than pad_size, 4 x 4/)
    }
  })

  it('is read from a folder, whose file errors name', async () => {
    writeFileSync(join(root, 'preprocessor_config.json'), JSON.stringify({ ...plain, resample: 'cubic' }))
    await expect(ImageProcessor.load(root)).rejects.toThrow(/preprocessor_config\.json: resample is 'cubic'/)
  })
})

const tiny = { width: 4, classes: ['cat', 'dog', 'eel'], generator: new Generator(3) } as const
const small = { imageSize: 16, patchSize: 8, width: 12, layers: 1, heads: 2, classes: 3, generator: new Generator(3) }

describe('ResNet', () => {
  it('has the published numbers of parameters and blocks', () => {
    for (const [depth, parameters, blocks] of [
      [18, 11_689_512, 8],
      [34, 21_797_672, 16],
      [50, 25_557_032, 16],
      [101, 44_549_160, 33],
      [152, 60_192_808, 50],
    ] as const) {
      const model = resnet(depth, { device: 'meta' })
      expect([...model.parameters()].reduce((sum, { numel }) => sum + numel, 0)).toBe(parameters)
      expect(model.blocks().length).toBe(blocks)
    }
  })

  it('strides where the configuration says', () => {
    const config = {
      model_type: 'resnet',
      embedding_size: 4,
      hidden_sizes: [8, 8],
      depths: [1, 1],
      layer_type: 'bottleneck',
    }
    const strided = async (more: object) => {
      const model = await AutoModel.forImageClassification({ ...config, ...more })
      const found: string[] = []
      for (const [path, layer] of model.namedModules())
        if (/stride=\[?2/.test(layer.extraRepr())) found.push(path.replace(/.*stages\./, ''))
      return found
    }
    return Promise.all([
      expect(strided({})).resolves.toEqual([
        'resnet.embedder.embedder.convolution',
        'resnet.embedder.pooler',
        '1.layers.0.shortcut.convolution',
        '1.layers.0.layer.1.convolution',
      ]),
      expect(strided({ downsample_in_bottleneck: true })).resolves.toContain('1.layers.0.layer.0.convolution'),
      expect(strided({ downsample_in_first_stage: true })).resolves.toContain('0.layers.0.layer.1.convolution'),
    ])
  })

  it('refuses settings and options by name', async () => {
    expect(() => resnet(20 as 18)).toThrow(/depth is 20, but must be one of 18, 34, 50, 101, 152/)
    for (const classes of [0, 1.5, [], ['a', 'a'], [1] as unknown as string[]])
      expect(() => resnet(18, { classes })).toThrow(/classes are/)
    for (const [settings, text] of [
      [{ hidden_sizes: [8] }, /hidden_sizes has 1 stages, but depths has 4/],
      [{ depths: [1, 0, 1, 1] }, /depths is/],
      [{ hidden_sizes: [8, 8, 8, 3] }, /bottlenecks need at least 4 channels/],
      [{ layer_type: 'wide' }, /layer_type is 'wide'/],
      [{ groups: 32 }, /groups is 32, but this architecture has no such setting/],
    ] as const)
      await expect(AutoModel.forImageClassification({ model_type: 'resnet', ...settings })).rejects.toThrow(text)
    await expect(AutoModel.forImageClassification({ model_type: 'gpt2' })).rejects.toThrow(/known ones are resnet, vit/)
  })

  it('refuses images of other channels, and bytes', () => {
    const model = resnet(18, tiny)
    expect(() => model.forward(waves([1, 1, 32, 32]))).toThrow(
      /pixels are \[1, 1, 32, 32\], but must be \[N, 3, H, W\]/,
    )
    expect(() => model.forward(fromTypedArray(new Uint8Array(3 * 64), [1, 3, 8, 8]))).toThrow(/uint8/)
  })

  it('keeps its statistics through a save, and takes a head of another size with a line', async () => {
    const folder = join(root, 'resnet')
    const model = resnet(18, tiny)
    noGrad(() => model.forward(waves([2, 3, 32, 32])))
    model.preprocessorConfig = { image_processor_type: 'ConvNextImageProcessor', size: { shortest_edge: 24 } }
    await model.save(folder, { log })
    const again = await AutoModel.forImageClassification(folder, { log })
    expect(again.config.labels).toEqual(tiny.classes)
    const statistics = (of: ImageClassifier) => of.namedBuffers().map(([name, buffer]) => [name, buffer.toArray()])
    expect(statistics(again)).toEqual(statistics(model))
    const lines: string[] = []
    const other = await AutoModel.forImageClassification(folder, {
      labels: ['a', 'b', 'c', 'd'],
      log: (line) => lines.push(line),
    })
    expect(lines).toEqual([
      `classifier.1 begins with new weights: classifier.1.weight is [3, 32] in ${folder}/model.safetensors, but [4, 32] in the model`,
    ])
    expect(other.newWeights).toEqual(['classifier.1.weight', 'classifier.1.bias'])
    expect(other.eval().forward(waves([2, 3, 32, 32])).shape).toEqual([2, 4])
    const body = (of: ImageClassifier) => numbers(of.body.embed(waves([1, 3, 32, 32])))
    expect(body(other.eval())).toEqual(body(again.eval()))
    expect(Math.max(...numbers([...other.parameters()].at(-2) as Tensor).map(Math.abs))).toBeGreaterThan(0)
    // If the number of labels is the same, the head stays, and only names change.
    lines.length = 0
    await AutoModel.forImageClassification(folder, { labels: ['a', 'b', 'c'], log: (line) => lines.push(line) })
    expect(lines).toEqual([])
    const bodyOnly = join(root, 'resnet-body')
    await again.body.save(bodyOnly, { log })
    await AutoModel.forImageClassification(bodyOnly, { labels: ['a', 'b'], log: (line) => lines.push(line) })
    expect(lines).toEqual([`classifier begins with new weights: ${bodyOnly}/model.safetensors has none`])
    await expect(AutoModel.forImageClassification(folder, { labels: ['a'], newHead: false, log })).rejects.toThrow(
      /classifier\.1\.weight/,
    )
  })

  it('classifies pictures by the processor of its folder, and says where there is none', async () => {
    const model = await AutoModel.forImageClassification(join(root, 'resnet'), { log })
    const picture = noise(40, 31, 3)
    const found = await model.classify(picture)
    const processor = new ImageProcessor(model.preprocessorConfig as ConfigJson)
    const three = [picture, picture, picture]
    expect(await model.classify(await processor.pixels(picture))).toEqual([found])
    expect(await model.classify(three, { batchSize: 2 })).toEqual([found, found, found])
    const pixels = await processor.pixels(three)
    expect(await model.classify(pixels, { batchSize: 2 })).toEqual([found, found, found])
    expect(Object.keys(found.scores)).toEqual(tiny.classes)
    expect(Object.values(found.scores).reduce((sum, each) => sum + each, 0)).toBeCloseTo(1, 5)
    expect(found.score).toBe(Math.max(...Object.values(found.scores)))
    expect(found.scores[found.label]).toBe(found.score)
    const several = await model.classify(picture, { activation: 'sigmoid', threshold: 0 })
    expect(several.labels?.length).toBe(3)
    // Predicting in the middle of training neither changes statistics nor ends the training mode.
    expect(model.train().training).toBe(true)
    expect(await model.classify(picture)).toEqual(found)
    expect(model.training).toBe(true)
    await expect(resnet(18, tiny).classify(picture)).rejects.toThrow(/no preprocessor_config\.json/)
    await expect(model.classify(picture, { batchSize: 0 })).rejects.toThrow(/batchSize is 0/)
    await expect(model.classify(waves([1, 3, 8, 8]).reshape([3, 8, 8]) as Tensor)).rejects.toThrow(
      /must be \[N, 3, H, W\]/,
    )
  })

  it('learns through LoRA on its convolutions, under the names of its file', () => {
    const model = applyLora(resnet(18, tiny), { rank: 2, targetModules: ['convolution'] })
    const { total } = model.loss(waves([2, 3, 32, 32]), { labels: tensor([0, 2], { dtype: 'int32' }) })
    total.backward()
    const learned = model.namedParameters().filter(([, { grad }]) => grad !== null)
    expect(learned.map(([name]) => name)).toContain(
      'resnet.encoder.stages.3.layers.1.layer.1.convolution.lora_A.default.weight',
    )
    expect(learned.every(([name]) => name.includes('lora_'))).toBe(true)
  })
})

describe('ViT', () => {
  it('has images that its patches fill, but for folders, of which transformers leaves a border over too', async () => {
    for (const size of [15, 17, [16, 20]] as const)
      expect(() => vit({ ...small, imageSize: size })).toThrow(
        /\[vit\] imageSize is .* do not fill; give an imageSize such as (8|16) x (8|16)/,
      )
    expect(vit({ ...small, imageSize: [24, 8] }).body.config.imageSize).toEqual([24, 8])
    const sizes = { image_size: 17, patch_size: 8, hidden_size: 12, num_hidden_layers: 1, num_attention_heads: 2 }
    const { config } = await AutoModel.forImageEmbedding({ model_type: 'vit', ...sizes }, { device: 'meta' })
    expect(config).toMatchObject({ imageSize: [17, 17] })
  })

  it('reads the names that transformers 5 has within a program', async () => {
    const folder = join(root, 'vit')
    const model = vit(small)
    await model.save(folder, { log })
    const file = join(folder, 'model.safetensors')
    const bytes = readFileSync(file)
    const length = Number(bytes.readBigUInt64LE(0))
    const header = bytes
      .subarray(8, 8 + length)
      .toString()
      .replaceAll('vit.encoder.layer.', 'vit.layers.')
      .replaceAll('.attention.attention.query.', '.attention.q_proj.')
      .replaceAll('.attention.attention.key.', '.attention.k_proj.')
      .replaceAll('.attention.attention.value.', '.attention.v_proj.')
      .replaceAll('.attention.output.dense.', '.attention.o_proj.')
      .replaceAll('.intermediate.dense.', '.mlp.fc1.')
      .replaceAll('.output.dense.', '.mlp.fc2.')
    writeFileSync(
      file,
      Buffer.concat([bytes.subarray(0, 8), Buffer.from(header.padEnd(length)), bytes.subarray(8 + length)]),
    )
    const again = await AutoModel.forImageClassification(folder)
    expect(numbers(again.eval().forward(waves([1, 3, 16, 16])))).toEqual(
      numbers(model.eval().forward(waves([1, 3, 16, 16]))),
    )
    // A body from the same folder lacks only the pooler, which starts with new weights.
    const body = await AutoModel.forImageEmbedding(folder)
    expect(numbers(body.eval().embed(waves([1, 3, 16, 16])))).toEqual(numbers(model.body.embed(waves([1, 3, 16, 16]))))
  })

  it('takes images of another size only where positions are to be interpolated', () => {
    const model = vit(small).eval()
    const larger = waves([1, 3, 24, 19])
    expect(() => model.forward(larger)).toThrow(/pixels are \[1, 3, 24, 19\], but must be \[N, 3, 16, 16\]/)
    model.body.interpolatePositions = true
    expect(model.forward(larger).shape).toEqual([1, 3])
    expect(model.body.forward(larger).shape).toEqual([1, 1 + 3 * 2, 12])
    expect(() => model.forward(waves([1, 3, 24, 7]))).toThrow(/do not contain a patch of 8 x 8/)
    expect(() => model.forward(waves([1, 1, 24, 19]))).toThrow(/must be \[N, 3, H, W\]/)
  })

  it('has biases of queries, keys and values only where the configuration says so', () => {
    const names = (qkvBias: boolean) =>
      vit({ ...small, qkvBias })
        .namedParameters()
        .map(([name]) => name)
    expect(names(true).filter((name) => /(query|key|value)\.bias$/.test(name)).length).toBe(3)
    expect(names(false).filter((name) => /(query|key|value)\.bias$/.test(name))).toEqual([])
    expect(names(false)).toContain('vit.encoder.layer.0.attention.output.dense.bias')
  })

  it('refuses settings by name', async () => {
    for (const [settings, text] of [
      [
        { hidden_size: 10, num_attention_heads: 3 },
        /hidden_size is 10, but must be a multiple of num_attention_heads, 3/,
      ],
      [{ image_size: 8, patch_size: 9 }, /does not contain a patch of patch_size 9 x 9/],
      [{ image_size: [8] }, /image_size is/],
      [{ image_size: 32769 }, /image_size is 32769/],
      [{ num_register_tokens: 4 }, /num_register_tokens is 4/],
    ] as const)
      await expect(AutoModel.forImageClassification({ model_type: 'vit', ...settings })).rejects.toThrow(text)
    expect(() => vit(small).body.pool(waves([1, 3, 16, 16]))).toThrow(/no pooler/)
  })
})

describe('labels of images', () => {
  it('are learned by the objective of classes', () => {
    for (const model of [vit(small), resnet(18, tiny)] as const) {
      const objective: Objective<typeof model, readonly [Tensor, Tensor]> = classification()
      const pixels = waves([2, 3, 16, 16])
      const labels = tensor([2, 0], { dtype: 'int32' })
      model.eval()
      const { total } = objective.loss(model, [pixels, labels])
      expect(total.item()).toBe(model.loss(pixels, { labels }).total.item())
    }
  })

  it('are classes, yes or no for each, or numbers', () => {
    const pixels = waves([2, 3, 16, 16])
    const model = vit(small).eval()
    const ints = model.loss(pixels, { labels: tensor([2, -100], { dtype: 'int32' }) })
    expect((ints.count as Tensor).item()).toBe(1)
    const yes = tensor([
      [1, 0, 1],
      [0, 0, 1],
    ])
    expect(model.loss(pixels, { labels: yes }).count).toBe(6)
    const regression = vit({ ...small, classes: 1 }).eval()
    const { total, count } = regression.loss(pixels, { labels: tensor([0.5, 2]) })
    const [a, b] = numbers(regression.forward(pixels)) as [number, number]
    expect(count).toBe(2)
    expect(total.item()).toBeCloseTo((a - 0.5) ** 2 + (b - 2) ** 2, 4)
    expect(() => model.loss(pixels, { labels: tensor([1], { dtype: 'int32' }) })).toThrow(/labels is \[1\]/)
  })
})
