import { bytesSource } from '../../../onnx/source.ts';
import { WireCursor } from '../../../onnx/wire.ts';
import { badTokenizer } from '../fields.ts';
import { Pieces, USES } from './pieces.ts';

export type ModelType = 'unigram' | 'bpe' | 'word' | 'char';

const MODEL_TYPES: readonly (ModelType | undefined)[] = [undefined, 'unigram', 'bpe', 'word', 'char'];

/** A SentencePiece model file; defaults are those of sentencepiece_model.proto. */
export interface SentencePieceFile {
  readonly pieces: Pieces;
  readonly type: ModelType;
  readonly byteFallback: boolean;
  readonly spaceAsSuffix: boolean;
  readonly bosPiece: string;
  readonly eosPiece: string;
  readonly padPiece: string;
  /** The compiled character map; empty when there is none. */
  readonly charsMap: Uint8Array;
  readonly addDummyPrefix: boolean;
  readonly removeExtraSpaces: boolean;
  readonly escapeSpaces: boolean;
}

const MAX_BYTES = 64 * 1024 * 1024;

/** A cursor over bytes in memory whose errors name the tokenizer's file. */
class Cursor extends WireCursor {
  override fail(what: string): never {
    throw badTokenizer(`${this.source.name} is not a SentencePiece model: ${what} at byte ${this.position}`);
  }
}

type Field = { number: number; wire: number };

/**
 * Reads the protobuf of a SentencePiece model (sentencepiece_model.proto). Fields that do not change how text is split are skipped.
 * @param name what errors call the file
 * @throws HeadscopeError `bad-tokenizer` when it is damaged, too large, or its pieces contradict each other
 */
export async function readSentencePieceFile(bytes: Uint8Array, name: string): Promise<SentencePieceFile> {
  if (bytes.length > MAX_BYTES)
    throw badTokenizer(`${name} has ${bytes.length} bytes, too many for a SentencePiece model`);
  const cursor = new Cursor(bytesSource(name, bytes));
  await cursor.fill(bytes.length);
  const file = {
    pieces: new Pieces(name),
    type: 'unigram' as ModelType,
    byteFallback: false,
    spaceAsSuffix: false,
    bosPiece: '<s>',
    eosPiece: '</s>',
    padPiece: '<pad>',
    charsMap: new Uint8Array(0) as Uint8Array,
    addDummyPrefix: true,
    removeExtraSpaces: true,
    escapeSpaces: true,
  };
  eachField(cursor, bytes.length, ({ number, wire }, end) => {
    if (wire !== 2) return false;
    if (number === 1) readPiece(cursor, end, bytes, file.pieces);
    else if (number === 2) {
      eachField(cursor, end, (field, valueEnd) => readTrainerField(cursor, file, field, valueEnd));
    } else if (number === 3) {
      eachField(cursor, end, (field, valueEnd) => {
        if (field.wire === 2 && field.number === 2) file.charsMap = cursor.take(valueEnd - cursor.position);
        else if (field.wire === 0 && field.number === 3) file.addDummyPrefix = cursor.varint() !== 0;
        else if (field.wire === 0 && field.number === 4) file.removeExtraSpaces = cursor.varint() !== 0;
        else if (field.wire === 0 && field.number === 5) file.escapeSpaces = cursor.varint() !== 0;
        else return false;
        return true;
      });
    } else return false;
    return true;
  });
  checkPieces(file, name);
  return file;
}

function readTrainerField(
  cursor: Cursor,
  file: { -readonly [K in keyof SentencePieceFile]: SentencePieceFile[K] },
  { number, wire }: Field,
  end: number,
): boolean {
  if (wire === 0 && number === 3) {
    const value = cursor.varint();
    file.type = MODEL_TYPES[value] ?? cursor.fail(`the model type ${value} is unknown`);
  } else if (wire === 0 && number === 24) file.spaceAsSuffix = cursor.varint() !== 0;
  else if (wire === 0 && number === 35) file.byteFallback = cursor.varint() !== 0;
  else if (wire === 2 && number === 46) file.bosPiece = cursor.string(end - cursor.position);
  else if (wire === 2 && number === 47) file.eosPiece = cursor.string(end - cursor.position);
  else if (wire === 2 && number === 48) file.padPiece = cursor.string(end - cursor.position);
  else return false;
  return true;
}

function readPiece(cursor: Cursor, end: number, bytes: Uint8Array, pieces: Pieces): void {
  const text = pieces.scratch.set('');
  let score = 0;
  let use = 1;
  eachField(cursor, end, ({ number, wire }, valueEnd) => {
    if (wire === 2 && number === 1) {
      if (text.setUtf8(bytes, cursor.position, valueEnd) < valueEnd)
        cursor.fail('a piece is not valid UTF-8');
      cursor.position = valueEnd;
    } else if (wire === 5 && number === 2) score = cursor.float32();
    else if (wire === 0 && number === 3) {
      use = cursor.varint();
      if (USES[use] === undefined) cursor.fail(`the piece type ${use} is unknown`);
    } else return false;
    return true;
  });
  pieces.add(score, use);
}

/** Walks the fields up to `end`; `read` returns false for what is to be skipped. `valueEnd` is where a field of wire type 2 ends. */
function eachField(cursor: Cursor, end: number, read: (field: Field, valueEnd: number) => boolean): void {
  while (cursor.position < end) {
    const tag = cursor.varint();
    const field = { number: Math.floor(tag / 8), wire: tag % 8 };
    if (field.number === 0) cursor.fail('a field has the number 0');
    const length = field.wire === 2 ? cursor.varint() : 0;
    const valueEnd = cursor.position + length;
    if (valueEnd > end) cursor.fail(`${length} bytes are announced but fewer are left`);
    if (!read(field, valueEnd)) skip(cursor, field.wire, valueEnd);
    if (field.wire === 2 && cursor.position !== valueEnd) cursor.fail('a message does not end where it says');
  }
  if (cursor.position !== end) cursor.fail('a field reaches beyond its message');
}

function skip(cursor: Cursor, wire: number, valueEnd: number): void {
  if (wire === 0) cursor.varint();
  else if (wire === 1) cursor.position += 8;
  else if (wire === 2) cursor.position = valueEnd;
  else if (wire === 5) cursor.position += 4;
  else cursor.fail(`wire type ${wire} is not used by such files`);
}

function checkPieces({ pieces, byteFallback }: SentencePieceFile, name: string): void {
  if (pieces.size === 0) throw badTokenizer(`${name} has no pieces`);
  if (pieces.count('unknown') !== 1) throw badTokenizer(`${name} must have exactly one unknown piece`);
  if (byteFallback && pieces.count('byte') !== 256) {
    throw badTokenizer(`${name} falls back on bytes but has pieces for ${pieces.count('byte')} of 256`);
  }
}
