import type { ByteSource } from './source.ts';

/** Bytes read at a time. */
const CHUNK = 8 * 1024 * 1024;

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

  override stream(): ReadableStream<Uint8Array<ArrayBuffer>> {
    let at = this.start;
    return new ReadableStream({
      pull: async (controller) => {
        if (at < this.end) {
          const bytes = await this.read(at, Math.min(CHUNK, this.end - at));
          at += bytes.length;
          controller.enqueue(bytes as Uint8Array<ArrayBuffer>);
        }
        if (at >= this.end) controller.close();
      },
    });
  }

  private async read(offset: number, length: number): Promise<Uint8Array> {
    try {
      return await this.source.read(offset, length);
    } catch (cause) {
      this.failed(cause);
      throw cause;
    }
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
