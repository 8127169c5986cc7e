import { lensModel, RESIDUAL } from '../instrument/lens.ts';
import type { Model } from '../onnx/model.ts';
import type { FloatTensor, Session, Tensor } from '../runtime/device.ts';
import type { Checkpoint } from './checkpoint.ts';

/** The model's end as a session of its own, made when first asked for; the vocabulary's matrix is in it once, whatever is asked. */
export class Lenses {
  private readonly checkpoint: Checkpoint;
  private readonly create: (model: Model) => Promise<Session>;
  private session?: Promise<Session>;

  constructor(checkpoint: Checkpoint, create: (model: Model) => Promise<Session>) {
    this.checkpoint = checkpoint;
    this.create = create;
  }

  /** The session; one that could not be made is tried again at the next question. */
  private made(model: Model): Promise<Session> {
    if (!this.session) {
      this.session = this.create(model);
      this.session.catch(() => (this.session = undefined));
    }
    return this.session;
  }

  /** Logits [rows, vocab] of residual rows [rows, dModel]. @throws HeadscopeError `no-logits` */
  async unembed(resid: FloatTensor): Promise<FloatTensor> {
    return this.run('plain', { [RESIDUAL]: resid });
  }

  /** The same by the linear map that the end is at the rows of `reference`. @throws HeadscopeError `no-logits` */
  async unembedFrozen(vectors: FloatTensor, reference: FloatTensor): Promise<FloatTensor> {
    return this.run('frozen', { vectors, reference });
  }

  private async run(way: 'plain' | 'frozen', given: Record<string, FloatTensor>): Promise<FloatTensor> {
    const { model, anatomy } = this.checkpoint;
    const lens = lensModel(model, anatomy);
    const output = lens.outputs[way];
    if (output instanceof Error) throw output;
    const session = await this.made(lens.model);
    const [{ dims }] = Object.values(given);
    const width = dims[1];
    const feeds: Record<string, Tensor> = {};
    for (const name of session.inputNames) {
      // what is not asked for is worked out on one row of zeros
      feeds[name] = {
        type: 'float32',
        ...(given[name] ?? { dims: [1, width], data: new Float32Array(width) }),
      };
    }
    const logits = (await session.run(feeds, [output]))[output];
    return { dims: logits.dims.slice(-2), data: logits.data as Float32Array };
  }

  async release(): Promise<void> {
    const made = await this.session?.catch(() => undefined);
    this.session = undefined;
    await made?.release();
  }
}
