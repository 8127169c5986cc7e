import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { ChildReport, ChildRequest } from './child.ts';

const run = promisify(execFile);
/** The built child lies beside the built benchmark. */
const CHILD = fileURLToPath(new URL('./child.js', import.meta.url));

/**
 * Does one thing in a process of its own that does nothing else, so that its memory is known.
 * @param seconds after which it is ended
 * @throws Error with a sentence that says why there is no answer
 */
export async function askChild(
  request: Partial<ChildRequest> & Pick<ChildRequest, 'task' | 'folder' | 'threads'>,
  seconds = 300,
): Promise<ChildReport> {
  const whole: ChildRequest = { tokens: 16, prompts: 1, runs: 0, ...request };
  const { stdout } = await run(process.execPath, [CHILD, JSON.stringify(whole)], {
    timeout: 1000 * seconds,
    killSignal: 'SIGKILL',
  }).catch((cause: Error & { killed?: boolean; signal?: string; stderr?: string }) => {
    const said = cause.stderr?.split('\n').find((line) => /Error/.test(line));
    const why = cause.killed
      ? `not done after ${seconds} s`
      : cause.signal
        ? `ended by ${cause.signal}, most likely for want of memory`
        : (said ?? cause.message.split('\n')[0]);
    throw new Error(why.slice(0, 300), { cause });
  });
  const report = JSON.parse(stdout) as ChildReport;
  if (request.task !== 'nothing' && report.heads === 0) throw new Error(`${request.task} found no heads`);
  return report;
}
