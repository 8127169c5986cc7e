import { HeadscopeError } from '../errors.ts';
import type { ElementType, Tensor, TensorBytes } from './device.ts';

/*
 * Tensors as bytes, for a runtime in another process: the header's length (uint32, little-endian), a JSON header, then the elements of
 * each tensor in host order (little-endian on everything this runs on), every tensor at a multiple of 8 bytes. Large tensors that hold many
 * zeros, as the inputs of edits do, leave out their empty blocks.
 */

interface ViewOf {
  new (buffer: ArrayBufferLike, offset?: number, length?: number): TensorBytes;
  readonly BYTES_PER_ELEMENT: number;
}

const VIEWS = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  bool: Uint8Array,
  uint8: Uint8Array,
  int8: Int8Array,
  uint16: Uint16Array,
  int16: Int16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
} satisfies Record<ElementType, ViewOf>;

const ALIGNMENT = 8;
const BLOCK = 1024;
/** Smaller tensors are sent whole. */
const LEAST_SPARSE = 64 * BLOCK;
/** Sent with gaps when that leaves out at least this share. */
const WORTHWHILE = 0.25;
const MAX_TENSOR_BYTES = 2 ** 32;
const MAX_HEADER_BYTES = 16 * 1024 * 1024;

interface HeaderTensor {
  readonly name: string;
  readonly type: ElementType;
  readonly dims: readonly number[];
  /** Only these blocks follow, as [first, count] of BLOCK bytes; everything else is zero. */
  readonly blocks?: readonly (readonly [number, number])[];
}
interface Header {
  readonly tensors: HeaderTensor[];
  readonly fetches?: string[];
}

const aligned = (offset: number): number => Math.ceil(offset / ALIGNMENT) * ALIGNMENT;

const bad = (what: string): HeadscopeError =>
  new HeadscopeError('bad-message', `A message between the program's parts is damaged: ${what}.`, 1);

const bytesOf = ({ data }: Tensor): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** The runs of blocks that are not all zero, or undefined when the tensor is better sent whole. */
function filledBlocks(bytes: Uint8Array): [number, number][] | undefined {
  if (bytes.length < LEAST_SPARSE || bytes.byteOffset % 4 !== 0) return undefined;
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  const total = Math.ceil(bytes.length / BLOCK);
  const runs: [number, number][] = [];
  let filled = 0;
  for (let block = 0; block < total; block++) {
    const end = Math.min(words.length, ((block + 1) * BLOCK) >> 2);
    let at = (block * BLOCK) >> 2;
    while (at < end && words[at] === 0) at++;
    const rest = block === total - 1 && bytes.subarray(words.length * 4).some((byte) => byte !== 0);
    if (at === end && !rest) continue;
    filled++;
    const last = runs.at(-1);
    if (last && last[0] + last[1] === block) last[1]++;
    else runs.push([block, 1]);
  }
  return filled <= (1 - WORTHWHILE) * total ? runs : undefined;
}

const blockBytes = (blocks: HeaderTensor['blocks'], length: number): number =>
  blocks?.reduce(
    (sum, [first, count]) => sum + Math.min(length, (first + count) * BLOCK) - first * BLOCK,
    0,
  ) ?? length;

function encode(tensors: Readonly<Record<string, Tensor>>, fetches?: readonly string[]): Uint8Array {
  const entries = Object.entries(tensors).map(([name, tensor]) => {
    const bytes = bytesOf(tensor);
    const blocks = filledBlocks(bytes);
    const { type, dims } = tensor;
    return {
      head: { name, type, dims, ...(blocks && { blocks }) },
      bytes,
      sent: blockBytes(blocks, bytes.length),
    };
  });
  const header: Header = {
    tensors: entries.map(({ head }) => head),
    ...(fetches ? { fetches: [...fetches] } : {}),
  };
  const json = new TextEncoder().encode(JSON.stringify(header));
  let end = aligned(4 + json.length);
  for (const { sent } of entries) end = aligned(end + sent);
  const message = new Uint8Array(end);
  new DataView(message.buffer).setUint32(0, json.length, true);
  message.set(json, 4);
  let offset = aligned(4 + json.length);
  for (const { head, bytes, sent } of entries) {
    let at = offset;
    for (const [first, count] of head.blocks ?? [[0, Math.ceil(bytes.length / BLOCK)]]) {
      const part = bytes.subarray(first * BLOCK, (first + count) * BLOCK);
      message.set(part, at);
      at += part.length;
    }
    offset = aligned(offset + sent);
  }
  return message;
}

/** Blocks that came over the wire: in order, inside the tensor. */
function checkedBlocks(name: string, blocks: unknown, length: number): HeaderTensor['blocks'] {
  if (blocks === undefined) return undefined;
  const total = Math.ceil(length / BLOCK);
  let after = 0;
  const fits = (run: unknown): boolean => {
    if (!Array.isArray(run) || run.length !== 2) return false;
    const [first, count] = run as [unknown, unknown];
    if (!Number.isSafeInteger(first) || !Number.isSafeInteger(count)) return false;
    if ((first as number) < after || (count as number) < 1) return false;
    after = (first as number) + (count as number);
    return after <= total;
  };
  if (!Array.isArray(blocks) || !blocks.every(fits) || length > MAX_TENSOR_BYTES)
    throw bad(`the tensor ${JSON.stringify(name)} has blocks that do not fit it`);
  return blocks as HeaderTensor['blocks'];
}

/** Number of elements of a shape that came over the wire. */
function elementCount(name: string, dims: unknown): number {
  if (!Array.isArray(dims) || !dims.every((dim) => Number.isSafeInteger(dim) && dim >= 0))
    throw bad(`the tensor ${JSON.stringify(name)} has no shape`);
  const count = (dims as number[]).reduce((product, dim) => product * dim, 1);
  if (!Number.isSafeInteger(count)) throw bad(`the tensor ${JSON.stringify(name)} is too large`);
  return count;
}

function decode(bytes: Uint8Array): { tensors: Record<string, Tensor>; fetches?: readonly string[] } {
  if (bytes.length < 4) throw bad('it has no header');
  const length = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
  if (length > MAX_HEADER_BYTES || 4 + length > bytes.length) throw bad('its header is cut off');
  let header: Header;
  try {
    header = JSON.parse(
      new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(4, 4 + length)),
    ) as Header;
  } catch {
    throw bad('its header is not JSON');
  }
  if (!Array.isArray(header?.tensors)) throw bad('its header lists no tensors');
  const tensors: [string, Tensor][] = [];
  let offset = aligned(4 + length);
  for (const { name, type, dims, blocks: given } of header.tensors) {
    if (typeof name !== 'string' || !Object.hasOwn(VIEWS, type)) throw bad('a tensor has no name or type');
    const View: ViewOf = VIEWS[type];
    const byteLength = elementCount(name, dims) * View.BYTES_PER_ELEMENT;
    const blocks = checkedBlocks(name, given, byteLength);
    const sent = blockBytes(blocks, byteLength);
    if (offset + sent > bytes.length) throw bad(`the tensor ${JSON.stringify(name)} is cut off`);
    const start = bytes.byteOffset + offset;
    let data: TensorBytes;
    if (blocks) data = new View(withGaps(bytes.subarray(offset, offset + sent), blocks, byteLength).buffer);
    else if (start % View.BYTES_PER_ELEMENT === 0)
      data = new View(bytes.buffer, start, byteLength / View.BYTES_PER_ELEMENT);
    else data = new View(bytes.slice(offset, offset + byteLength).buffer);
    tensors.push([name, { type, dims, data }]);
    offset = aligned(offset + sent);
  }
  if (offset !== bytes.length) throw bad('its length does not fit its tensors');
  const { fetches } = header;
  if (fetches !== undefined && !(Array.isArray(fetches) && fetches.every((name) => typeof name === 'string')))
    throw bad('its outputs are not names');
  return { tensors: Object.fromEntries(tensors), fetches };
}

/** The whole tensor from its filled blocks. */
function withGaps(sent: Uint8Array, blocks: NonNullable<HeaderTensor['blocks']>, length: number): Uint8Array {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const [first, count] of blocks) {
    const size = Math.min(length, (first + count) * BLOCK) - first * BLOCK;
    whole.set(sent.subarray(at, at + size), first * BLOCK);
    at += size;
  }
  return whole;
}

/** A request to run a session: every input by name, and the outputs wanted. */
export const encodeRun = (feeds: Readonly<Record<string, Tensor>>, fetches: readonly string[]): Uint8Array =>
  encode(feeds, fetches);

/**
 * The other end of `encodeRun`. The tensors are views into `bytes` where it is aligned.
 * @throws HeadscopeError `bad-message`
 */
export function decodeRun(bytes: Uint8Array): {
  feeds: Record<string, Tensor>;
  fetches: readonly string[];
} {
  const { tensors, fetches } = decode(bytes);
  if (!fetches) throw bad('it names no outputs');
  return { feeds: tensors, fetches };
}

/** Tensors by name, such as a session's outputs. */
export const encodeTensors = (tensors: Readonly<Record<string, Tensor>>): Uint8Array => encode(tensors);

/**
 * The other end of `encodeTensors`. The tensors are views into `bytes` where it is aligned.
 * @throws HeadscopeError `bad-message`
 */
export const decodeTensors = (bytes: Uint8Array): Record<string, Tensor> => decode(bytes).tensors;
