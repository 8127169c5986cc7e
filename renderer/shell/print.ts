import { HeadscopeError } from '../../src/errors.ts';

/** Shows the browser's print dialog for a self-contained page, which is kept by the server for a moment and runs no script. */
export async function printPage(html: string): Promise<void> {
  const response = await fetch('/print', { method: 'POST', body: html });
  if (!response.ok)
    throw new HeadscopeError('print-failed', 'The page could not be prepared for printing. Try again.', 1);
  const { url } = (await response.json()) as { url: string };
  document.getElementById('print-frame')?.remove();
  const frame = document.createElement('iframe');
  frame.id = 'print-frame';
  frame.title = 'Page to print';
  frame.tabIndex = -1;
  frame.setAttribute('aria-hidden', 'true');
  frame.style.cssText = 'position:fixed;width:0;height:0;border:0;visibility:hidden';
  frame.src = url;
  document.body.append(frame);
  await new Promise((resolve) => frame.addEventListener('load', resolve, { once: true }));
  frame.contentWindow?.print();
}
