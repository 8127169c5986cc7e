import { WireWriter } from '../../src/onnx/wire.ts';

/** A protobuf file taken apart along the message types of ONNX or SentencePiece, to be changed and put together again. */
export interface Field {
  field: number;
  content: bigint | Uint8Array | Field[];
  /** The message type of `content` when it is a list of fields. */
  type?: string;
}

/** Message types by the field that holds them, for the messages that are taken apart. */
const PARTS: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  Model: { 7: 'Graph', 8: 'Opset' },
  Graph: { 1: 'Node', 5: 'Tensor', 11: 'Value', 12: 'Value' },
  Node: { 5: 'Attribute' },
  Attribute: { 5: 'Tensor', 6: 'Graph' },
  Tensor: { 13: 'Entry' },
  Value: { 2: 'Type' },
  Type: { 1: 'TensorType' },
  TensorType: { 2: 'Shape' },
  Shape: { 1: 'Dimension' },
  Opset: {},
  Entry: {},
  Dimension: {},
  // sentencepiece_model.proto
  Pieces: { 1: 'Piece', 2: 'Trainer', 3: 'Normalizer' },
  Piece: {},
  Trainer: {},
  Normalizer: {},
};

/** Takes a message apart, or throws when it is not well-formed; only varints, 32-bit numbers and length-delimited fields occur in such files. */
export function takeApart(bytes: Uint8Array, type = 'Model'): Field[] {
  const out: Field[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      if (at >= bytes.length) throw new RangeError('a message ends inside a number');
      const byte = bytes[at++];
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const field = tag >> 3;
    if ((tag & 7) === 0) {
      out.push({ field, content: varint() });
      continue;
    }
    const length = (tag & 7) === 5 ? 4 : Number(varint());
    if (at + length > bytes.length) throw new RangeError('a part is longer than its message');
    const content = bytes.slice(at, at + length);
    at += length;
    const part = PARTS[type][field];
    // a float is kept with its tag, as bytes that are written as they are
    if ((tag & 7) === 5) out.push({ field: 0, content: Uint8Array.of(tag, ...content) });
    else if (part) out.push({ field, type: part, content: takeApart(content, part) });
    else out.push({ field, content });
  }
  return out;
}

export function putTogether(fields: readonly Field[]): Uint8Array {
  const w = new WireWriter();
  for (const { field, content } of fields) {
    if (typeof content === 'bigint') w.varint(field, content);
    else if (Array.isArray(content)) w.bytes(field, putTogether(content));
    else if (field === 0) w.raw([content]);
    else w.bytes(field, content);
  }
  return w.finish();
}

/** Every list of fields in the tree, the outermost first. */
export function lists(fields: Field[]): Field[][] {
  return [fields, ...fields.flatMap(({ content }) => (Array.isArray(content) ? lists(content) : []))];
}
