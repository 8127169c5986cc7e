import { readFileSync, writeFileSync } from 'node:fs';

/**
 * The most memory this process has had, in bytes. What the system calls the largest resident set counts what the process had before it became
 * this program, so Linux is asked for the program's own.
 */
export function mostMemory(): number {
  if (process.platform !== 'linux') return process.resourceUsage().maxRSS * 1024;
  const found = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'));
  return Number(found?.[1]) * 1024;
}

/** Lets the most memory begin again with what there is now, where the system can. */
export function forgetMostMemory(): void {
  if (process.platform === 'linux') writeFileSync('/proc/self/clear_refs', '5');
}
