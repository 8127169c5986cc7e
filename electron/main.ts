import { app, dialog } from 'electron';
import { filesIn } from './arguments.ts';
import { dataFile, Desktop } from './desktop.ts';
import { setGpuSwitches } from './gpu.ts';
import { registerScheme } from './protocol.ts';
import { SettingsFile } from './settings.ts';

/** Starts the app. Files that the system hands over before it is ready are opened once it is. */
function run(): void {
  const settings = new SettingsFile(dataFile('settings.json'));
  setGpuSwitches(settings.value.gpu);
  registerScheme();

  let desktop: Desktop | undefined;
  const early = filesIn(process.argv, app.isPackaged, process.cwd());
  const open = (target: string): void => {
    if (desktop) void desktop.open(target);
    else early.push(target);
  };

  app.on('open-file', (event, target) => {
    event.preventDefault();
    open(target);
  });
  app.on('second-instance', (_event, argv, folder) => {
    desktop?.focus();
    for (const target of filesIn(argv, app.isPackaged, folder)) open(target);
  });
  app.on('activate', () => desktop?.show());
  app.on('window-all-closed', () => {
    if (process.platform !== 'darwin') app.quit();
  });
  app.on('will-quit', () => void desktop?.close());

  app
    .whenReady()
    .then(async () => {
      desktop = await Desktop.start(settings);
      for (const target of early.splice(0)) await desktop.open(target);
    })
    .catch((error: unknown) => {
      dialog.showErrorBox(
        'Headscope could not start',
        error instanceof Error ? error.message : String(error),
      );
      app.exit(1);
    });
}

app.enableSandbox();
if (app.requestSingleInstanceLock()) run();
else app.quit();
