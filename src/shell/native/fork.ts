import { fork } from 'node:child_process';
import { NATIVE_ENVIRONMENT, type StartNative } from './process.ts';

/**
 * Starts the native runtime as a Node child process.
 * @param script the built `child.ts`
 */
export function forkNative(script: string): StartNative {
  return () => {
    const child = fork(script, [], {
      serialization: 'advanced',
      env: { ...process.env, ...NATIVE_ENVIRONMENT },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    // A child that is gone already refuses messages; its exit says so to those who wait.
    child.on('error', () => child.kill('SIGKILL'));
    return {
      pid: child.pid,
      postMessage: (message) => void child.send(message as object, () => undefined),
      addEventListener: (_type, listener) => void child.on('message', (data) => listener({ data })),
      onExit: (listener) => void child.once('close', listener),
      kill: () => void child.kill('SIGKILL'),
    };
  };
}
