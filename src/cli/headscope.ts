import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/*
 * The command starts the real program as a child and waits. A run inside ONNX Runtime cannot be interrupted from JavaScript, so this
 * process is what Ctrl-C talks to: it ends the child at once and removes the temporary files that the child told it of.
 */
const program = fileURLToPath(new URL('program.js', import.meta.url));
const child = spawn(process.execPath, ['--enable-source-maps', program, ...process.argv.slice(2)], {
  stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
});
const temporary = new Set<string>();

child.on('message', (message: { path: string; exists: boolean }) => {
  if (message.exists) temporary.add(message.path);
  else temporary.delete(message.path);
});

function cancel(): void {
  child.removeAllListeners('exit');
  child.once('exit', () => {
    for (const path of temporary) rmSync(path, { recursive: true, force: true });
    if (process.argv[2] === 'serve') process.exit(0); // Ctrl-C is how a server is meant to end
    process.stderr.write('\nerror[cancelled]: The work was cancelled; nothing was left half-written.\n');
    process.exit(1);
  });
  child.kill('SIGKILL');
}

process.on('SIGINT', cancel);
process.on('SIGTERM', cancel);

child.on('exit', (code, signal) => {
  for (const path of temporary) rmSync(path, { recursive: true, force: true });
  if (signal === 'SIGBUS')
    process.stderr.write(
      'error[changed]: A file of the checkpoint became shorter while it was used, or its disk went away. Copy the checkpoint again and run the command again.\n',
    );
  else if (signal)
    process.stderr.write(
      `error[killed]: The program was ended by ${signal}, most likely because memory ran out. Capture fewer layers or shorter prompts.\n`,
    );
  process.exit(signal ? 1 : (code ?? 1));
});
