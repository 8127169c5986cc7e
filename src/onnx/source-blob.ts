import { HeadscopeError } from '../errors.ts';
import { shortened, type ByteSource } from './source.ts';

/** Bytes read at a time for readers that bring no buffer. */
const CHUNK = 1024 * 1024;

/** Bytes handed over at a time, a multiple of what graphics cards align copies to. */
const PIECE = 4 * 1024 * 1024;

/** The buffer of the last delivery, for the next one. */
let spare: ArrayBuffer | undefined;

/** What is shorter is read by a source in one go; it may be there already. */
const SHORT = 128 * 1024;

/** Reads a range of a source piece by piece. */
interface Pieces {
  /** The next piece, in the buffer of `into`, which must not be used any more. @throws what the source throws */
  next(into: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>;
  cancel(): Promise<void>;
}

/** Pieces by `read`, one request each. */
function readPieces(source: ByteSource, start: number, end: number): Pieces {
  let at = start;
  return {
    async next(into) {
      const bytes = await source.read(at, Math.min(into.length, end - at));
      at += bytes.length;
      into.set(bytes);
      return into.subarray(0, bytes.length);
    },
    cancel: () => Promise.resolve(),
  };
}

/** Pieces of one stream, which fills the given buffers: nothing is left over that has to be collected. Absent where it is no stream of bytes. */
async function streamedPieces(source: ByteSource, start: number, end: number): Promise<Pieces | undefined> {
  const stream = await source.stream?.(start, end - start);
  let reader: ReadableStreamBYOBReader | undefined;
  try {
    reader = stream?.getReader({ mode: 'byob' });
  } catch {
    await stream?.cancel();
  }
  return (
    reader && {
      async next(into) {
        const { value } = await reader.read(into);
        if (!value?.length) throw shortened(source.name);
        return value;
      },
      cancel: () => reader.cancel(),
    }
  );
}

/**
 * A file as a browser's Blob without being one in memory: whoever streams a slice of it causes that part, and no other, to be read.
 * onnxruntime-web takes weights as Blobs and streams every tensor to where it belongs.
 */
class SourceBlob extends Blob {
  private readonly source: ByteSource;
  private readonly failed: (cause: unknown) => void;
  private readonly start: number;
  private readonly end: number;

  constructor(source: ByteSource, failed: (cause: unknown) => void, start = 0, end = source.size) {
    super();
    this.source = source;
    this.failed = failed;
    this.start = start;
    this.end = end;
  }

  override get size(): number {
    return this.end - this.start;
  }

  /** @param start,end as of Blob.slice; not counted from the end */
  override slice(start = 0, end = this.size): Blob {
    const place = (at: number): number => this.start + Math.min(Math.max(at, 0), this.size);
    return new SourceBlob(this.source, this.failed, place(start), Math.max(place(start), place(end)));
  }

  /** A stream of bytes; readers may bring their own buffer. */
  override stream(): ReadableStream<Uint8Array<ArrayBuffer>> {
    let left = this.size;
    let pieces: Pieces | undefined;
    return new ReadableStream({
      type: 'bytes',
      autoAllocateChunkSize: CHUNK,
      start: (controller) => {
        if (left === 0) controller.close();
      },
      pull: async (controller) => {
        const request = controller.byobRequest!;
        try {
          pieces ??= await this.pieces();
          const { buffer, byteOffset, byteLength } = request.view!;
          const piece = await pieces.next(new Uint8Array(buffer, byteOffset, Math.min(byteLength, left)));
          left -= piece.length;
          request.respondWithNewView(piece);
          if (left === 0) controller.close();
        } catch (cause) {
          const error = cause instanceof HeadscopeError ? cause : shortened(this.source.name, cause);
          this.failed(error);
          throw error;
        }
      },
      cancel: () => pieces?.cancel(),
    });
  }

  /**
   * Hands a part over, in order, in pieces of 4 MB and a rest. onnxruntime-web calls it by what `tools/weights-in-place.ts` writes into it.
   * @param put copies a piece to its place, counted from the part's start; the piece is overwritten afterwards
   */
  async deliver(
    offset: number,
    length: number,
    put: (piece: Uint8Array<ArrayBuffer>, at: number) => void,
  ): Promise<void> {
    const reader = this.slice(offset, offset + length)
      .stream()
      .getReader({ mode: 'byob' });
    let buffer = spare ?? new ArrayBuffer(PIECE);
    spare = undefined;
    for (let at = 0; at < length;) {
      const size = Math.min(PIECE, length - at);
      for (let filled = 0; filled < size;) {
        const { value } = await reader.read(new Uint8Array(buffer, filled, size - filled));
        buffer = value!.buffer;
        filled += value!.length;
      }
      put(new Uint8Array(buffer, 0, size), at);
      at += size;
    }
    spare = buffer;
  }

  private async pieces(): Promise<Pieces> {
    const { source, start, end } = this;
    const streamed = end - start > SHORT ? await streamedPieces(source, start, end) : undefined;
    return streamed ?? readPieces(source, start, end);
  }

  override async arrayBuffer(): Promise<ArrayBuffer> {
    const bytes = new Uint8Array(this.size);
    let done = 0;
    for (const reader = this.stream().getReader(); ;) {
      const { value, done: end } = await reader.read();
      if (end) return bytes.buffer;
      bytes.set(value, done);
      done += value.length;
    }
  }
}

/** A file of a checkpoint as a Blob. @param failed told when reading it fails, besides whoever reads */
export const sourceBlob = (source: ByteSource, failed: (cause: unknown) => void = () => undefined): Blob =>
  new SourceBlob(source, failed);
