import { asFields } from './fields.ts';
import type { Fields } from './fields.ts';

/** What goes around a prompt, by the names under which the special tokens are configured, and their usual texts. */
export interface Family {
  readonly before?: readonly SpecialName[];
  readonly after?: readonly SpecialName[];
  /** Whether the mask token takes the white space before it. */
  readonly maskTakesSpace?: true;
  readonly names?: Readonly<Partial<Record<SpecialName, string>>>;
}

export type SpecialName = 'bos' | 'eos' | 'cls' | 'sep' | 'mask' | 'pad' | 'unk';

const BERT: Family = {
  before: ['cls'],
  after: ['sep'],
  names: { unk: '[UNK]', sep: '[SEP]', pad: '[PAD]', cls: '[CLS]', mask: '[MASK]' },
};
const ROBERTA: Family = {
  before: ['bos'],
  after: ['eos'],
  maskTakesSpace: true,
  names: { bos: '<s>', eos: '</s>', cls: '<s>', sep: '</s>', unk: '<unk>', pad: '<pad>', mask: '<mask>' },
};
const GPT2: Family = { names: { bos: '<|endoftext|>', eos: '<|endoftext|>', unk: '<|endoftext|>' } };
const LLAMA: Family = { before: ['bos'], names: { bos: '<s>', eos: '</s>', unk: '<unk>' } };
const T5: Family = { after: ['eos'], names: { eos: '</s>', unk: '<unk>', pad: '<pad>' } };

/** What the tokenizer classes of Hugging Face transformers add to a single prompt, by class or model type without "Tokenizer", in lower case. */
const FAMILIES: Readonly<Record<string, Family>> = {
  bert: BERT,
  distilbert: BERT,
  electra: BERT,
  mobilebert: BERT,
  convbert: BERT,
  squeezebert: BERT,
  layoutlm: BERT,
  lxmert: BERT,
  retribert: BERT,
  realm: BERT,
  albert: { ...BERT, maskTakesSpace: true },
  bigbird: { ...BERT, maskTakesSpace: true },
  rembert: { ...BERT, maskTakesSpace: true },
  deberta: BERT,
  debertav2: BERT,
  nomicbert: BERT,
  funnel: { ...BERT, names: { unk: '<unk>', sep: '<sep>', pad: '<pad>', cls: '<cls>', mask: '<mask>' } },
  mpnet: { ...ROBERTA, names: { ...ROBERTA.names, unk: '[UNK]' } },
  roberta: ROBERTA,
  bart: ROBERTA,
  longformer: ROBERTA,
  led: ROBERTA,
  mvp: ROBERTA,
  xlmroberta: ROBERTA,
  blenderbot: { after: ['eos'], names: ROBERTA.names },
  gpt2: GPT2,
  gptneo: GPT2,
  gptj: GPT2,
  codegen: GPT2,
  phi: GPT2,
  opt: { before: ['bos'], names: { bos: '</s>', eos: '</s>', pad: '<pad>', unk: '</s>' } },
  qwen2: { names: { eos: '<|endoftext|>', pad: '<|endoftext|>', unk: '<|endoftext|>' } },
  clip: {
    before: ['bos'],
    after: ['eos'],
    names: { bos: '<|startoftext|>', eos: '<|endoftext|>', unk: '<|endoftext|>' },
  },
  openaigpt: { names: { unk: '<unk>' } },
  llama: LLAMA,
  codellama: LLAMA,
  mistral: LLAMA,
  mixtral: LLAMA,
  gemma: { before: ['bos'], names: { bos: '<bos>', eos: '<eos>', unk: '<unk>', pad: '<pad>' } },
  gemma2: { before: ['bos'], names: { bos: '<bos>', eos: '<eos>', unk: '<unk>', pad: '<pad>' } },
  t5: T5,
  mt5: T5,
  umt5: T5,
  pegasus: T5,
  xlnet: { after: ['sep', 'cls'], names: { sep: '<sep>', cls: '<cls>', bos: '<s>', eos: '</s>' } },
};

/** Classes whose files of these kinds mean something that is not read here. */
const NOT_READ = new Set([
  'bertjapanese',
  'bertweet',
  'phobert',
  'esm',
  'ctrl',
  'xlm',
  'fsmt',
  'flaubert',
  'herbert',
  'marian',
  'm2m100',
  'mbart',
  'mbart50',
  'nllb',
  'camembert',
  'barthez',
  'xlmprophetnet',
  'speecht5',
  'cpm',
  'cpmant',
  'whisper',
  'byt5',
  'canine',
  'luke',
  'mluke',
  'tapas',
  'prophetnet',
  'fastspeech2conformer',
  'vits',
  'wav2vec2ctc',
  'wav2vec2',
  'biogpt',
  'roformer',
  'jumanpp',
]);

/** What a checkpoint says of itself. */
export interface FamilyFound {
  /** In lower case; undefined when no file says. */
  readonly name: string | undefined;
  /** Undefined when the name is not one that is known here. */
  readonly family: Family | undefined;
  /** The tokenizer of that name cannot be read from anything but a tokenizer.json. */
  readonly notRead: boolean;
}

/**
 * Which tokenizer class a checkpoint was made with.
 * @param config tokenizer_config.json (`tokenizer_class`)
 * @param modelConfig config.json (`tokenizer_class`, `model_type`)
 */
export function findFamily(config: Fields, modelConfig: Fields): FamilyFound {
  const declared = [config.tokenizer_class, modelConfig.tokenizer_class, modelConfig.model_type]
    .filter((value) => typeof value === 'string')
    .map((value) =>
      value
        .toLowerCase()
        .replace(/(tokenizer)?(fast)?$/, '')
        .replace(/[^a-z0-9]/g, ''),
    )
    .filter((name) => name !== '' && name !== 'pretrained');
  const known = declared.find((name) => Object.hasOwn(FAMILIES, name) || NOT_READ.has(name));
  const name = known ?? declared[0];
  return {
    name,
    family: known === undefined || !Object.hasOwn(FAMILIES, known) ? undefined : FAMILIES[known],
    notRead: name !== undefined && NOT_READ.has(name),
  };
}

/** The text of a special token as configurations write it: plain, or an object with `content`. */
export function specialText(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (typeof value !== 'object' || value === null) return undefined;
  const { content } = asFields(value, 'a special token');
  return typeof content === 'string' ? content : undefined;
}
