import { HeadscopeError } from '../errors.ts';
import type { ElementType, Tensor, TensorBytes } from './device.ts';

/*
 * Tensors as bytes, for a runtime in another process: the header's length (uint32, little-endian), a JSON header, then the elements of
 * each tensor in host order (little-endian on everything this runs on), every tensor at a multiple of 8 bytes.
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
const MAX_HEADER_BYTES = 16 * 1024 * 1024;

interface HeaderTensor {
  readonly name: string;
  readonly type: ElementType;
  readonly dims: readonly number[];
}
interface Header {
  readonly tensors: HeaderTensor[];
  readonly fetches?: string[];
}

const aligned = (offset: number): number => Math.ceil(offset / ALIGNMENT) * ALIGNMENT;

const bad = (what: string): HeadscopeError =>
  new HeadscopeError('bad-message', `A message between the program's parts is damaged: ${what}.`, 1);

function encode(tensors: Readonly<Record<string, Tensor>>, fetches?: readonly string[]): Uint8Array {
  const entries = Object.entries(tensors);
  const header: Header = {
    tensors: entries.map(([name, { type, dims }]) => ({ name, type, dims })),
    ...(fetches ? { fetches: [...fetches] } : {}),
  };
  const json = new TextEncoder().encode(JSON.stringify(header));
  let end = aligned(4 + json.length);
  for (const [, { data }] of entries) end = aligned(end + data.byteLength);
  const bytes = new Uint8Array(end);
  new DataView(bytes.buffer).setUint32(0, json.length, true);
  bytes.set(json, 4);
  let offset = aligned(4 + json.length);
  for (const [, { data }] of entries) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset);
    offset = aligned(offset + data.byteLength);
  }
  return bytes;
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
  for (const { name, type, dims } of header.tensors) {
    if (typeof name !== 'string' || !Object.hasOwn(VIEWS, type)) throw bad('a tensor has no name or type');
    const View: ViewOf = VIEWS[type];
    const byteLength = elementCount(name, dims) * View.BYTES_PER_ELEMENT;
    if (offset + byteLength > bytes.length) throw bad(`the tensor ${JSON.stringify(name)} is cut off`);
    const start = bytes.byteOffset + offset;
    const data: TensorBytes =
      start % View.BYTES_PER_ELEMENT === 0
        ? new View(bytes.buffer, start, byteLength / View.BYTES_PER_ELEMENT)
        : new View(bytes.slice(offset, offset + byteLength).buffer);
    tensors.push([name, { type, dims, data }]);
    offset = aligned(offset + byteLength);
  }
  if (offset !== bytes.length) throw bad('its length does not fit its tensors');
  const { fetches } = header;
  if (fetches !== undefined && !(Array.isArray(fetches) && fetches.every((name) => typeof name === 'string')))
    throw bad('its outputs are not names');
  return { tensors: Object.fromEntries(tensors), fetches };
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
