import type { Channel } from '../../workbench/engine/rpc.ts';
import { serveCommands } from '../../workbench/engine/rpc.ts';
import { nativeCommands, NativeState } from './commands.ts';

/*
 * The process that holds ONNX Runtime: when it runs out of memory or crashes, the program that started it lives on. Started by Node it talks over
 * its process channel, started by Electron over its parent port.
 */
interface ParentPort {
  postMessage(message: unknown): void;
  on(event: 'message', listener: (event: { data: unknown }) => void): void;
}

function parentChannel(): Channel {
  const port = (process as { parentPort?: ParentPort }).parentPort;
  if (port)
    return {
      postMessage: (message) => port.postMessage(message),
      addEventListener: (_type, listener) => port.on('message', listener),
    };
  process.on('disconnect', () => process.exit(0));
  return {
    postMessage: (message) => void process.send?.(message),
    addEventListener: (_type, listener) => void process.on('message', (data) => listener({ data })),
  };
}

process.on('SIGINT', () => undefined); // Ctrl-C is for the program that started this one
serveCommands(parentChannel(), new NativeState(), nativeCommands);
