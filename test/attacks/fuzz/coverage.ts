import { Session, type Profiler } from 'node:inspector';

/** Which blocks of the program any case has reached, as V8 counts them. */
export class Coverage {
  private readonly session = new Session();
  private readonly seen = new Set<string>();

  constructor() {
    this.session.connect();
    this.session.post('Profiler.enable');
    this.session.post('Profiler.startPreciseCoverage', { callCount: false, detailed: true });
  }

  get blocks(): number {
    return this.seen.size;
  }

  /** Whether blocks were reached since the last call that no case had reached before. */
  grew(): boolean {
    const before = this.seen.size;
    // Only functions with something new are reported; the callback is called at once.
    this.session.post('Profiler.takePreciseCoverage', (_, { result }) => this.add(result));
    return this.seen.size > before;
  }

  private add(scripts: readonly Profiler.ScriptCoverage[]): void {
    for (const { scriptId, url, functions } of scripts) {
      if (!url.startsWith('file:')) continue;
      for (const { ranges } of functions) {
        for (const { startOffset, endOffset, count } of ranges) {
          if (count > 0) this.seen.add(`${scriptId}:${startOffset}-${endOffset}`);
        }
      }
    }
  }
}
