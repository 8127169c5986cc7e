import { app, type Session, type WebContents } from 'electron';
import { isOwn, ORIGIN } from './origin.ts';

/** Addresses that a page may load from: the app, what it made itself, and pictures written into the page. */
function isAllowed(url: string): boolean {
  return isOwn(url) || url.startsWith(`blob:${ORIGIN}/`) || url.startsWith('data:image/');
}

/** Refuses everything that would leave the app, and every permission. */
export function guardSession(session: Session): void {
  session.webRequest.onBeforeRequest(({ url }, callback) => {
    const isDevTools = !app.isPackaged && url.startsWith('devtools://');
    callback({ cancel: !isAllowed(url) && !isDevTools });
  });
  session.setPermissionRequestHandler((_contents, _permission, callback) => callback(false));
  session.setPermissionCheckHandler(() => false);
  session.setDevicePermissionHandler(() => false);
}

/** Refuses new windows, embedded pages and leaving the app's own page. */
export function guardContents(contents: WebContents): void {
  contents.setWindowOpenHandler(() => ({ action: 'deny' }));
  contents.on('will-navigate', (event) => {
    if (!isOwn(event.url)) event.preventDefault();
  });
  contents.on('will-redirect', (event) => {
    if (!isOwn(event.url)) event.preventDefault();
  });
  contents.on('will-attach-webview', (event) => event.preventDefault());
}
