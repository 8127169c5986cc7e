import { checkAddedCount, MAX_TOKEN_ID, readAddedToken } from './added-tokens.ts';
import type { AddedToken } from './added-tokens.ts';
import { specialText } from './family.ts';
import type { Family, SpecialName } from './family.ts';
import { asFields, asInteger, asList, badTokenizer } from './fields.ts';
import type { Fields } from './fields.ts';
import type { SpecialTemplate } from './special-template.ts';

const NAMES: readonly SpecialName[] = ['bos', 'eos', 'unk', 'sep', 'pad', 'cls', 'mask'];

/** The special and added tokens of a checkpoint without tokenizer.json. */
export interface SpecialFiles {
  /** Special tokens by name. */
  readonly named: Readonly<Partial<Record<SpecialName, string>>>;
  readonly added: readonly AddedToken[];
  /** Special tokens that the configuration names but that have no id. */
  readonly missing: readonly string[];
}

/**
 * Gathers them from tokenizer_config.json (with special_tokens_map.json below it), added_tokens.json and what the family usually has.
 * @param idOf the ids of the vocabulary
 * @throws HeadscopeError `bad-tokenizer` when a file is malformed
 */
export function readSpecialFiles(
  config: Fields,
  addedTokens: Fields,
  family: Family | undefined,
  idOf: (token: string) => number | undefined,
): SpecialFiles {
  const byText = new Map<string, AddedToken>();
  const decoderWhere = 'tokenizer_config.json added_tokens_decoder';
  const decoder = Object.entries(asFields(config.added_tokens_decoder ?? {}, decoderWhere));
  const plainTokens = Object.entries(addedTokens);
  const more = asList(config.additional_special_tokens ?? [], 'additional_special_tokens');
  checkAddedCount(decoder.length + plainTokens.length + more.length, 'The configuration');
  for (const [key, item] of decoder) {
    const token = readAddedToken(item, /^\d+$/.test(key) ? Number(key) : key, `${decoderWhere}["${key}"]`);
    if (token.content !== '') byText.set(token.content, token);
  }
  const plain = (content: string, id: number, special: boolean): AddedToken => ({
    id,
    content,
    special,
    normalized: false,
    singleWord: false,
    lstrip: false,
    rstrip: false,
  });
  for (const [content, id] of plainTokens) {
    const at = `added_tokens.json ${JSON.stringify(content)}`;
    const token = plain(content, asInteger(id, at, 0, MAX_TOKEN_ID), false);
    const before = byText.get(content);
    if (before !== undefined && before.id !== token.id) {
      throw badTokenizer(`${at} is ${token.id} but tokenizer_config.json says ${before.id}`);
    }
    if (before === undefined && content !== '') byText.set(content, token);
  }

  const named: Partial<Record<SpecialName, string>> = {};
  const missing: string[] = [];
  for (const name of NAMES) {
    const declared = config[`${name}_token`];
    const text = declared === undefined ? family?.names?.[name] : specialText(declared);
    if (text === undefined || text === '') continue;
    const known = byText.get(text);
    const id = known?.id ?? idOf(text);
    if (id === undefined) {
      if (declared !== undefined) missing.push(text);
      continue;
    }
    named[name] = text;
    const takesSpace = name === 'mask' && family?.maskTakesSpace === true && typeof declared !== 'object';
    const lstrip = known?.lstrip ?? (takesSpace || stripsBefore(declared));
    byText.set(text, { ...(known ?? plain(text, id, true)), special: true, normalized: false, lstrip });
  }
  for (const text of more.map(specialText)) {
    if (text === undefined || text === '') continue;
    const known = byText.get(text);
    const id = known?.id ?? idOf(text);
    if (id === undefined) missing.push(text);
    else byText.set(text, { ...(known ?? plain(text, id, true)), special: true, normalized: false });
  }
  return { named, added: [...byText.values()], missing };
}

function stripsBefore(declared: unknown): boolean {
  return typeof declared === 'object' && declared !== null && (declared as Fields).lstrip === true;
}

/**
 * What goes around a prompt: what the family adds, unless `add_bos_token` and `add_eos_token` say otherwise. A special token without an id
 * is left out.
 */
export function familyTemplate(
  config: Fields,
  family: Family | undefined,
  { named, added }: SpecialFiles,
): SpecialTemplate {
  const ids = new Map(added.map((token) => [token.content, token.id]));
  const idOf = (name: SpecialName): number[] => {
    const id = ids.get(named[name] ?? '');
    return id === undefined ? [] : [id];
  };
  const side = (names: readonly SpecialName[], own: SpecialName, switched: unknown): number[] => {
    if (switched === false) return names.filter((name) => name !== own).flatMap(idOf);
    return (switched === true && !names.includes(own) ? [own] : names).flatMap(idOf);
  };
  return {
    before: side(family?.before ?? [], 'bos', config.add_bos_token),
    after: side(family?.after ?? [], 'eos', config.add_eos_token),
  };
}
