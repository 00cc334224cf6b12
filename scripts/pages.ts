/**
 * The first sentences of the pages of the API, by page: what is on it, for a reader who is new, and where to import it
 * from. `scripts/docs.ts` puts them there.
 */
export const firstPage =
  'Every public function, class and type of Firesteel, one page per family. The README shows how they work together.'

/** The names of modules and of namespaces, as TypeDoc has them. */
export const introductions: { readonly [page: string]: string } = {
  index:
    "The core, which `import { ... } from 'firesteel'` gives: tensors, gradients, devices, memory, random numbers, files and errors.",
  compare: 'Runs the same work on several devices and compares losses and times.',
  data: 'Data sets and loaders, of `firesteel`: rows in, shuffled batches of tensors out.',
  'data/datasets': 'Ready-made data sets of images, of `firesteel/datasets`: MNIST, and folders of IDX files.',
  'data/text': 'Readers of files of rows, of `firesteel/text`: CSV, JSON lines, texts, Parquet and NumPy.',
  distributions:
    'Distributions, of `firesteel/distributions`, as in `torch.distributions`: samples, logarithms of densities, entropies, divergences.',
  finetune:
    'Fine-tuning, of `firesteel/finetune`: freezing, gradual unfreezing, adapters such as LoRA, and weights in 8 or 4 bits.',
  images: 'Folders of pictures and augmentations, of `firesteel/images`. Decoding needs the package sharp.',
  linalg: 'Linear algebra, of `firesteel/linalg`, as in `torch.linalg`: factorisations, systems, inverses, norms.',
  models:
    'Models that are loaded from Hugging Face folders, or made with random weights, of `firesteel/models`, and the ways in which they generate.',
  nn: 'Layers and models, of `nn`: the class `Module`, and what belongs to all layers. Each family of layers has a page.',
  functional: 'Layers without state as plain functions, of `nn.functional`, as in PyTorch.',
  init: 'Functions of `nn.init` that fill a tensor with initial weights, in place, as in PyTorch.',
  'nn/activation': 'Activation functions as layers, and other layers without parameters, such as `Flatten`.',
  'nn/attention': 'The layer of multi-head attention.',
  'nn/bilinear': 'The layer of two inputs, whose outputs are sums over products of both.',
  'nn/containers': 'Modules that hold other modules: `Sequential` and `ModuleList`.',
  'nn/conv': 'Layers of convolution and of transposed convolution.',
  'nn/dictionaries': 'Modules that hold others by key, and lists and tables of parameters.',
  'nn/dropout': 'Layers that set random elements or channels to 0 in training.',
  'nn/embedding': 'Layers that look up a vector for each integer id, such as a token.',
  'nn/encoder-decoder': 'Whole transformers: stacks of encoder and decoder blocks.',
  'nn/gated': 'Activations whose slope is learned, random, or another part of the input.',
  'nn/interpolate': 'Layers that resize images and sequences.',
  'nn/linear': 'Fully connected layers.',
  'nn/loss': 'Losses as layers: a loss keeps its options, and is called as `forward(input, target)`.',
  'nn/norm': 'Layers that normalise: batch, layer, group, instance and RMS norms.',
  'nn/norm-response': 'The layer that normalises each position over neighbouring channels.',
  'nn/piecewise': 'Activations made of straight lines, and variants of ELU, softplus and tanh.',
  'nn/pool': 'Layers that take the maximum or the mean of each window of an image or sequence.',
  'nn/pool-volume': 'Layers that take the maximum or the mean of each window of a volume.',
  'nn/positions': 'Layers that tell a model where each element of a sequence stands.',
  'nn/recurrent': 'Layers that walk through a sequence step by step: LSTM, GRU and RNN.',
  'nn/recurrent-cell': 'One step of an LSTM, GRU or RNN, for a loop of your own.',
  'nn/score-attention': 'Attention with a score function of your choice.',
  'nn/shape': 'Layers that rearrange elements: padding, windows, and channels that become places.',
  'nn/transformer': 'The blocks of transformers, for encoders and decoders.',
  'nn/unpool': 'Layers that undo max pooling.',
  'ops/attention': 'Attention as functions, and encodings of positions.',
  'ops/conv': 'Convolutions as functions.',
  'ops/creation': 'Functions that make tensors from JavaScript values, constants and sequences.',
  'ops/dropout': 'Dropout as functions, which set random elements or channels to 0 in training.',
  'ops/einsum': "Einstein's summation: a product of any number of tensors, written as an equation of letters.",
  'ops/elementwise': 'Functions of single elements: arithmetic, comparisons, logic, exponentials, activations.',
  'ops/indexing': 'Functions that read or write the elements that indices or masks name.',
  'ops/interpolate': 'The function that resizes images and sequences.',
  'ops/like': 'Functions that make tensors of the form of others.',
  'ops/loss': 'Losses as functions: what a training makes small.',
  'ops/matmul': 'Products of matrices, also in batches.',
  'ops/norm': 'Normalisation as functions.',
  'ops/pool': 'Pooling over windows as functions.',
  'ops/products': "Products of vectors, matrices and tensors under PyTorch's names.",
  'ops/random': 'Functions that make tensors of random numbers.',
  'ops/recurrent': 'LSTM, GRU and RNN as functions, their cells, and a loop for a cell of your own.',
  'ops/reduce': 'Functions that make one number of many: sums, means, extremes, norms, and their running forms.',
  'ops/shape': 'Functions that change shapes: views, joins, splits, padding.',
  'ops/softmax': 'Softmax and its logarithm: numbers that become probabilities.',
  'ops/sort': 'Functions that sort, search and count elements.',
  'ops/statistics': 'Covariance, differences between neighbours, and areas under samples.',
  'ops/vectors': 'Cross products, powers, and all pairs of vectors.',
  optim: 'Optimisers, of `optim`, which change parameters by their gradients, and what belongs to all of them.',
  'optim/schedules': 'Schedules, of `optim`, which change the learning rate from step to step.',
  pretrain:
    'Pre-training, of `firesteel/pretrain`: a corpus in shards of tokens, packed rows, objectives, and measures of what was learned.',
  tasks:
    'The tasks that models learn, of `firesteel/finetune`: objectives, and functions that turn rows of text into rows of tokens.',
  text: 'Tokenizers and chat templates, of `firesteel/text`.',
  train: 'The Trainer, which runs a training, with its callbacks, loggers, checks and reports.',
  metrics: 'Metrics, of `metrics`, which measure predictions against targets.',
  'train/search': 'Searches over settings of a training, such as the learning rate.',
}
