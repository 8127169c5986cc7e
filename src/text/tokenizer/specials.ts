import { asFields, asText } from './fields.ts';
import type { Fields } from './fields.ts';

/** Ids of the tokens with a fixed meaning, where the tokenizer has them. */
export type SpecialIds = Readonly<
  Partial<Record<'bos' | 'eos' | 'pad' | 'unk' | 'cls' | 'sep' | 'mask', number>>
>;

/** Usual spellings, for checkpoints whose tokenizer_config.json is missing or silent. */
const USUAL: readonly (readonly [keyof SpecialIds, readonly string[]])[] = [
  ['bos', ['<bos>', '<s>', '<|begin_of_text|>', '<|endoftext|>']],
  ['eos', ['<eos>', '</s>', '<|end_of_text|>', '<|endoftext|>']],
  ['pad', ['<pad>', '[PAD]', '<|pad|>']],
  ['unk', ['<unk>', '[UNK]']],
  ['cls', ['[CLS]', '<cls>']],
  ['sep', ['[SEP]', '<sep>']],
  ['mask', ['[MASK]', '<mask>']],
];

/**
 * Special ids from tokenizer_config.json (`bos_token` and so on, plain text or an object with `content`), and otherwise from the usual names among
 * the special tokens.
 * @param special ids of the special tokens by their text
 * @throws HeadscopeError `bad-tokenizer` when a field of the configuration is of the wrong type
 */
export function findSpecials(
  config: Fields,
  unk: number | undefined,
  idOf: (token: string) => number | undefined,
  special: ReadonlyMap<string, number>,
): SpecialIds {
  const found: { -readonly [K in keyof SpecialIds]: number } = unk === undefined ? {} : { unk };
  for (const [name, usual] of USUAL) {
    const declared = config[`${name}_token`];
    // null says that there is none.
    if (declared === null) continue;
    const id =
      declared === undefined
        ? usual.map((token) => special.get(token)).find((candidate) => candidate !== undefined)
        : idOf(tokenContent(declared, `tokenizer_config.json ${name}_token`));
    if (id !== undefined) found[name] ??= id;
  }
  return found;
}

function tokenContent(value: unknown, where: string): string {
  return typeof value === 'string' ? value : asText(asFields(value, where).content, `${where}.content`);
}
