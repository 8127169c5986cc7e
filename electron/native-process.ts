import { utilityProcess } from 'electron';
import { NATIVE_ENVIRONMENT, type StartNative } from '../src/shell/native/process.ts';

/**
 * Starts the native runtime as one of Electron's utility processes.
 * @param script the built `native-child.js`
 */
export function utilityNative(script: string): StartNative {
  return () => {
    const child = utilityProcess.fork(script, [], {
      serviceName: 'Headscope native runtime',
      stdio: 'inherit',
      env: { ...process.env, ...NATIVE_ENVIRONMENT },
    });
    return {
      postMessage: (message) => child.postMessage(message),
      addEventListener: (_type, listener) => void child.on('message', (data: unknown) => listener({ data })),
      onExit: (listener) => void child.once('exit', listener),
      kill: () => void child.kill(),
    };
  };
}
