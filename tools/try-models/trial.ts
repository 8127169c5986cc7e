import { HeadscopeError } from '../../src/errors.ts';
import { inspectDocument, type InspectDocument } from '../../src/workbench/inspect.ts';
import { openCheckpoint } from '../../src/workbench/workbench.ts';
import { attentionSigns } from './signs.ts';

/** Longer than any model's graph takes to read, in milliseconds of this process. */
const MOST_MS = 2000;

/** What became of one .onnx file. */
export interface Trial {
  readonly file: string;
  readonly outcome:
    | 'recognised' // attention blocks were found
    | 'no attention' // none were found, and nothing looks like one
    | 'not read' // something looks like attention and is listed with a reason
    | 'missed' // something looks like attention and nothing is said of it
    | 'refused' // a named reason
    | 'failed'; // anything else
  /** Attention blocks and heads in all of them. */
  readonly blocks: number;
  readonly heads: number;
  /** Softmaxes between two products and fused attention operators, wherever they are. */
  readonly signs: number;
  /** Why it was refused, what was not read. */
  readonly reasons: readonly string[];
  readonly milliseconds: number;
}

/** Opens one .onnx file as `headscope inspect` does, never throwing. */
export async function tryModel(file: string): Promise<Trial> {
  const start = process.cpuUsage(); // other programs may be busy
  const done = (rest: Omit<Trial, 'file' | 'milliseconds'>): Trial => {
    const { user, system } = process.cpuUsage(start);
    const milliseconds = Math.round((user + system) / 1000);
    const slow = milliseconds > MOST_MS;
    return {
      file,
      milliseconds,
      ...rest,
      ...(slow ? { outcome: 'failed', reasons: [`it took ${milliseconds} ms`] } : {}),
    };
  };
  try {
    const open = await openCheckpoint(file);
    try {
      const document = inspectDocument(open);
      const signs = attentionSigns(open.checkpoint.original);
      const blocks = document.blocks.length;
      const heads = document.blocks.reduce((sum, block) => sum + block.heads, 0);
      return done({ blocks, heads, signs, ...judged(document, signs) });
    } finally {
      await open.folder.close();
    }
  } catch (error) {
    const known = error instanceof HeadscopeError;
    const reason = known ? `${error.code}: ${error.message}` : String((error as Error).stack ?? error);
    return done({
      outcome: known ? 'refused' : 'failed',
      blocks: 0,
      heads: 0,
      signs: 0,
      reasons: [reason],
    });
  }
}

function judged(document: InspectDocument, signs: number): Pick<Trial, 'outcome' | 'reasons'> {
  const reasons = document.unrecognised.map(({ what, where, why }) => `${what} (${where}): ${why}`);
  if (document.blocks.length) return { outcome: 'recognised', reasons };
  if (signs === 0) return { outcome: 'no attention', reasons };
  const said = document.unrecognised.some(
    ({ what }) => !/^(an input|the unembedding|the vocabulary)/.test(what),
  );
  return { outcome: said ? 'not read' : 'missed', reasons };
}
