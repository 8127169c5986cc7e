import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** The built command line, as `npx headscope` runs it. */
export const PROGRAM = process.env.HEADSCOPE_CLI ?? path.resolve('out/cli/headscope.js');
export const SAMPLES = path.resolve('assets/checkpoints');

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command to its end. */
export function headscope(...args: string[]): Outcome {
  const { status, stdout, stderr } = spawnSync(process.execPath, [PROGRAM, ...args], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  return { status, stdout, stderr };
}

/** Runs the command with --json and parses its document. */
export function document<T>(...args: string[]): T {
  const outcome = headscope(...args, '--json');
  if (outcome.status !== 0) throw new Error(outcome.stderr);
  return JSON.parse(outcome.stdout) as T;
}

/** Starts the command, sends a signal after `delay` ms, and waits for the end. */
export async function interrupted(
  args: string[],
  delay: number,
  cwd?: string,
): Promise<Outcome & { readonly msToEnd: number }> {
  const child = spawn(process.execPath, [PROGRAM, ...args], { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  await new Promise((resolve) => setTimeout(resolve, delay));
  const sent = performance.now();
  child.kill('SIGINT');
  const status = await new Promise<number | null>((resolve) => child.on('exit', resolve));
  return { status, stdout, stderr, msToEnd: performance.now() - sent };
}

/** A folder that is removed when the test ends. */
export function temporaryFolder(onEnd: (cleanup: () => void) => void): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'headscope-cli-'));
  onEnd(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A copy of a sample checkpoint that a test may damage. */
export function sampleCopy(name: string, into: string): string {
  const target = path.join(into, name);
  cpSync(path.join(SAMPLES, name), target, { recursive: true });
  return target;
}
