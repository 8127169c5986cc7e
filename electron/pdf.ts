import { BrowserWindow } from 'electron';
import type { PrintPages } from '../src/shell/print-pages.ts';
import { guardContents } from './guard.ts';
import { ORIGIN } from './origin.ts';

/** Prints a self-contained HTML page to PDF in a window that nobody sees and that runs no script. */
export async function printToPdf(html: string, pages: PrintPages): Promise<Uint8Array> {
  const window = new BrowserWindow({
    show: false,
    webPreferences: { sandbox: true, contextIsolation: true, nodeIntegration: false, javascript: false },
  });
  guardContents(window.webContents);
  try {
    await window.loadURL(ORIGIN + pages.add(html));
    return new Uint8Array(
      await window.webContents.printToPDF({ generateTaggedPDF: true, printBackground: true }),
    );
  } finally {
    window.destroy();
  }
}
