import type { Anatomy } from '../anatomy/anatomy.ts';
import { instrument, type Instrumented } from '../instrument/instrument.ts';
import { needsBlocks } from '../instrument/query-blocks/feeds.ts';
import type { Engine } from '../instrument/engine.ts';
import type { RunRequest } from '../instrument/runner.ts';
import type { Model } from '../onnx/model.ts';
import type { Session } from '../runtime/device.ts';

/** What a session is made from and what it needs to know. */
export interface SessionMaker {
  readonly model: Model;
  readonly anatomy: Anatomy;
  create(model: Model): Promise<Session>;
  /** The engine around an instrumented graph in a session. */
  engine(instrumented: Instrumented, session: Session): Engine;
  /** Looks at a new engine before it is used. @throws HeadscopeError what is wrong with it */
  check(engine: Engine): Promise<void>;
}

/** True when the scores of some layer are too many to be worked out at once for the longest prompt of a request. */
function isLong({ anatomy }: SessionMaker, { rows }: RunRequest, keys?: Engine['shape']['keys']): boolean {
  const tokens = Math.max(0, ...rows.map((row) => row.ids.length));
  return anatomy.blocks.some(({ heads, layer }) => needsBlocks(heads, tokens, keys?.[layer] ?? tokens));
}

/**
 * The one session that serves overview, capture and edits. It computes attention at once, until a prompt comes whose scores are too many for
 * that; from then on in blocks of queries. The first session is released before the second is made, so the weights are never held twice.
 */
export class InstrumentedSession {
  private readonly maker: SessionMaker;
  private now?: Engine;
  private changing?: Promise<void>;
  private readonly running = new Set<Promise<unknown>>();
  private closed = false;

  private constructor(maker: SessionMaker) {
    this.maker = maker;
  }

  /** @param queryBlocks attention in blocks from the start */
  static async open(maker: SessionMaker, queryBlocks: boolean): Promise<InstrumentedSession> {
    const session = new InstrumentedSession(maker);
    await session.change(queryBlocks);
    return session;
  }

  /** The engine that is there. */
  get engine(): Engine {
    return this.now as Engine;
  }

  /** Work on the engine that suits a request. */
  async use<T>(request: RunRequest, work: (engine: Engine) => Promise<T>): Promise<T> {
    const { maker } = this;
    for (;;) {
      if (this.changing) await this.changing;
      else if (!this.now) this.changing = this.change(isLong(maker, request));
      else if (
        !this.closed &&
        !this.now.instrumented.queryBlocks &&
        isLong(maker, request, this.now.shape.keys)
      )
        this.changing = this.change(true);
      else break;
    }
    const run = work(this.now);
    this.running.add(run);
    try {
      return await run;
    } finally {
      this.running.delete(run);
    }
  }

  private async change(queryBlocks: boolean): Promise<void> {
    try {
      const { maker } = this;
      await Promise.allSettled(this.running);
      const instrumented = instrument(maker.model, maker.anatomy, { queryBlocks });
      await this.now?.session.release();
      this.now = undefined;
      const engine = maker.engine(instrumented, await maker.create(instrumented.model));
      try {
        await maker.check(engine);
      } catch (error) {
        await engine.session.release();
        throw error;
      }
      this.now = engine;
    } finally {
      this.changing = undefined;
    }
  }

  async release(): Promise<void> {
    this.closed = true;
    await this.changing?.catch(() => undefined);
    await this.now?.session.release();
  }
}
