import { asFields, asInteger, asList, asText, badTokenizer, sequenceParts } from './fields.ts';
import { MAX_TOKEN_ID } from './added-tokens.ts';

/** The special tokens that go around a single prompt. */
export interface SpecialTemplate {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

const NONE: SpecialTemplate = { before: [], after: [] };

/**
 * The `post_processor` of a tokenizer.json for single prompts; null means none.
 * @throws HeadscopeError `bad-tokenizer` for a malformed or unknown post-processor
 */
export function createSpecialTemplate(
  config: unknown,
  where = 'tokenizer.json post_processor',
  depth = 0,
): SpecialTemplate {
  if (config === null || config === undefined) return NONE;
  const fields = asFields(config, where);
  const type = asText(fields.type, `${where}.type`);
  switch (type) {
    case 'ByteLevel':
      return NONE;
    case 'BertProcessing':
    case 'RobertaProcessing':
      return { before: [pairId(fields.cls, `${where}.cls`)], after: [pairId(fields.sep, `${where}.sep`)] };
    case 'Sequence': {
      const parts = sequenceParts(fields, 'processors', where, depth)
        .map((part, i) => createSpecialTemplate(part, `${where}.processors[${i}]`, depth + 1))
        .filter((part) => part !== NONE);
      if (parts.length > 1) throw badTokenizer(`${where} adds special tokens twice`);
      return parts[0] ?? NONE;
    }
    case 'TemplateProcessing':
      return template(asList(fields.single, `${where}.single`), fields.special_tokens, where);
    default:
      throw badTokenizer(`${where} is of the unknown type "${type}"`);
  }
}

/** The id in a `["[CLS]", 101]` pair. */
function pairId(value: unknown, where: string): number {
  return asInteger(asList(value, where)[1], `${where}[1]`, 0, MAX_TOKEN_ID);
}

function template(items: readonly unknown[], specials: unknown, where: string): SpecialTemplate {
  const before: number[] = [];
  const after: number[] = [];
  let seen = false;
  items.forEach((item, i) => {
    const at = `${where}.single[${i}]`;
    const fields = asFields(item, at);
    if (fields.Sequence !== undefined) {
      if (seen || asFields(fields.Sequence, at).id !== 'A')
        throw badTokenizer(`${at} must be the only sequence, A`);
      seen = true;
      return;
    }
    const name = asText(asFields(fields.SpecialToken, at).id, `${at}.SpecialToken.id`);
    // The template names a special token; its ids stand in a table of their own and may be several.
    const entry = asFields(
      asFields(specials ?? {}, `${where}.special_tokens`)[name],
      `${where}.special_tokens "${name}"`,
    );
    for (const id of asList(entry.ids, `${where}.special_tokens "${name}".ids`)) {
      (seen ? after : before).push(asInteger(id, `${where}.special_tokens "${name}".ids`, 0, MAX_TOKEN_ID));
    }
  });
  if (!seen) throw badTokenizer(`${where}.single leaves the prompt out`);
  return { before, after };
}
