import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { JobMessage, JobRequest } from './job.ts';
import type { Told } from './results.ts';

/** The built job lies beside the built benchmark. */
const JOB = fileURLToPath(new URL('./job.js', import.meta.url));

const running = new Set<number>();

/** Ends what a job has started, and the job. */
function end(pid: number): void {
  try {
    process.kill(process.platform === 'win32' ? pid : -pid, 'SIGKILL'); // its whole group
  } catch {
    // it has ended by itself
  }
}

/** Ends everything that is running. */
export const endJobs = (): void => running.forEach(end);

/**
 * Runs a job in a process of its own, which is ended with all its children after `seconds`.
 * @returns why it did not get to its end, or undefined
 */
export function runJob(
  request: JobRequest,
  seconds: number,
  hear: (told: Told) => void,
): Promise<string | undefined> {
  const child = fork(JOB, [JSON.stringify(request)], { detached: true, execArgv: ['--enable-source-maps'] });
  const pid = child.pid!;
  running.add(pid);
  return new Promise((resolve) => {
    let why: string | undefined = 'its process ended, most likely for want of memory';
    const timer = setTimeout(() => {
      why = `not done after ${seconds} s`;
      end(pid);
    }, 1000 * seconds);
    child.on('message', (message: JobMessage) => {
      if (message.kind === 'done') why = undefined;
      else if (message.kind === 'failed') why = message.why;
      else hear(message);
    });
    child.once('exit', () => {
      clearTimeout(timer);
      end(pid);
      running.delete(pid);
      resolve(why);
    });
  });
}
