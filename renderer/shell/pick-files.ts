/** Asks for files with the browser's own dialog; empty when the person changed their mind. */
export function pickFiles(options: {
  readonly accept?: readonly string[];
  readonly folder?: boolean;
  readonly multiple?: boolean;
}): Promise<File[]> {
  const input = document.createElement('input');
  input.type = 'file';
  input.hidden = true;
  input.multiple = options.multiple === true;
  input.webkitdirectory = options.folder === true;
  if (options.accept) input.accept = options.accept.join(',');
  document.body.append(input); // a detached input may be collected while its dialog is open
  return new Promise((resolve) => {
    const done = (): void => {
      input.remove();
      resolve([...(input.files ?? [])]);
    };
    input.addEventListener('change', done, { once: true });
    input.addEventListener('cancel', done, { once: true });
    input.click();
  });
}

/** Hands bytes or text to the browser as a download. */
export function download(name: string, mime: string, data: Uint8Array | string): void {
  const url = URL.createObjectURL(new Blob([data as Uint8Array<ArrayBuffer> | string], { type: mime }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // the download reads it after the click
}
