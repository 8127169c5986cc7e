import { BPEDecoder, CTCDecoder, StripDecoder, WordPieceDecoder } from '@huggingface/tokenizers';
import {
  asFields,
  asInteger,
  asText,
  badTokenizer,
  flag,
  oneOf,
  sequenceParts,
  text as textField,
} from './fields.ts';
import { checkGrowth, totalLength } from './growth.ts';
import { replace } from './normalizer.ts';
import { byteOfToken, fromByteChars } from './byte-level.ts';

/** Turns token texts into stretches of text; their concatenation is the decoded text. */
export type Decoder = (tokens: readonly string[]) => string[];

/**
 * The `decoder` of a tokenizer.json; null joins tokens with spaces, as the reference does.
 * @param added texts of added tokens, which no byte-level decoder may take apart
 * @throws HeadscopeError `bad-tokenizer` for a malformed or unknown decoder
 */
export function createDecoder(
  config: unknown,
  added: ReadonlySet<string>,
  where = 'tokenizer.json decoder',
  depth = 0,
): Decoder {
  if (config === null || config === undefined) return (tokens) => [tokens.join(' ')];
  const fields = asFields(config, where);
  const type = asText(fields.type, `${where}.type`);
  switch (type) {
    case 'Sequence': {
      const parts = sequenceParts(fields, 'decoders', where, depth).map((part, i) =>
        createDecoder(part, added, `${where}.decoders[${i}]`, depth + 1),
      );
      return (tokens) => {
        const length = totalLength(tokens, (token) => token);
        return parts.reduce<string[]>(
          (result, part) => {
            const next = part(result);
            checkGrowth(
              totalLength(next, (token) => token),
              length,
              where,
            );
            return next;
          },
          [...tokens],
        );
      };
    }
    case 'ByteLevel':
      return byteLevel(added);
    case 'ByteFallback':
      return byteFallback;
    case 'Metaspace':
      return metaspace(
        textField(fields, 'replacement', where, '▁'),
        oneOf(fields, 'prepend_scheme', where, ['always', 'first', 'never'] as const, 'always') !== 'never',
      );
    case 'Replace': {
      const rewrite = replace(fields, where);
      return (tokens) => tokens.map(rewrite);
    }
    case 'Fuse':
      return (tokens) => [tokens.join('')];
    case 'Strip': {
      const decoder = new StripDecoder({
        type,
        content: textField(fields, 'content', where, ' '),
        start: asInteger(fields.start ?? 0, `${where}.start`, 0, 1000),
        stop: asInteger(fields.stop ?? 0, `${where}.stop`, 0, 1000),
      });
      return (tokens) => decoder.decode_chain([...tokens]);
    }
    case 'WordPiece': {
      const decoder = new WordPieceDecoder({
        type,
        prefix: textField(fields, 'prefix', where, '##'),
        cleanup: flag(fields, 'cleanup', where, true),
      });
      return (tokens) => decoder.decode_chain([...tokens]);
    }
    case 'BPEDecoder': {
      const decoder = new BPEDecoder({ type, suffix: textField(fields, 'suffix', where, '</w>') });
      return (tokens) => decoder.decode_chain([...tokens]);
    }
    case 'CTC': {
      const decoder = new CTCDecoder({
        type,
        pad_token: textField(fields, 'pad_token', where, '<pad>'),
        word_delimiter_token: textField(fields, 'word_delimiter_token', where, '|'),
        cleanup: flag(fields, 'cleanup', where, true),
      });
      return (tokens) => decoder.decode_chain([...tokens]);
    }
    default:
      throw badTokenizer(`${where} is of the unknown type "${type}"`);
  }
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

function byteLevel(added: ReadonlySet<string>): Decoder {
  return (tokens) => {
    const out: string[] = [];
    let bytes: number[] = [];
    const flush = (): void => {
      if (bytes.length > 0) out.push(utf8.decode(Uint8Array.from(bytes)));
      bytes = [];
    };
    for (const token of tokens) {
      if (added.has(token)) {
        flush();
        out.push(token);
      } else bytes.push(...fromByteChars(token));
    }
    flush();
    return out;
  };
}

/** A run of byte tokens that is not UTF-8 becomes one replacement character a byte. */
export function byteFallback(tokens: readonly string[]): string[] {
  const out: string[] = [];
  let bytes: number[] = [];
  const flush = (): void => {
    if (bytes.length === 0) return;
    const text = strictUtf8(bytes);
    if (text === undefined) out.push(...bytes.map(() => '\uFFFD'));
    else out.push(text);
    bytes = [];
  };
  for (const token of tokens) {
    const byte = byteOfToken(token);
    if (byte === undefined) {
      flush();
      out.push(token);
    } else bytes.push(byte);
  }
  flush();
  return out;
}

function strictUtf8(bytes: readonly number[]): string | undefined {
  try {
    return new TextDecoder('utf-8', { ignoreBOM: true, fatal: true }).decode(Uint8Array.from(bytes));
  } catch {
    return undefined;
  }
}

/** The first token loses its marks where the pre-tokenizer had put one in front of the text. */
function metaspace(mark: string, prepended: boolean): Decoder {
  return (tokens) => tokens.map((token, i) => token.replaceAll(mark, i === 0 && prepended ? '' : ' '));
}
