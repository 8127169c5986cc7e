import { HeadscopeError } from '../../src/errors.ts';

/** Where a self-contained page is kept for a moment by what serves the app; no script of it runs. @throws HeadscopeError `page-failed` */
export async function pageAddress(html: string): Promise<string> {
  const response = await fetch('/print', { method: 'POST', body: html });
  if (!response.ok) throw new HeadscopeError('page-failed', 'The page could not be prepared. Try again.', 1);
  return ((await response.json()) as { url: string }).url;
}

/** Shows the browser's print dialog for a self-contained page. */
export async function printPage(html: string): Promise<void> {
  const url = await pageAddress(html);
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
