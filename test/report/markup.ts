/** A strict little reader of markup, to prove that files are well-formed without trusting what wrote them. */

export interface Element {
  name: string;
  attributes: Map<string, string>;
  children: (Element | string)[];
}

const VOID = new Set(['meta', 'br', 'img', 'link', 'input', 'hr']);
// XML 1.0, production 2: what may stand in a document at all.
const ILLEGAL = /[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/u;
const ENTITY = /&(?:#(\d+)|#x([0-9a-f]+)|(lt|gt|amp|quot|apos));/gi;
const NAMED: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

function decode(text: string): string {
  if (text.replace(ENTITY, '').includes('&'))
    throw new Error(`a bare & in ${JSON.stringify(text.slice(0, 80))}`);
  return text.replace(ENTITY, (_, decimal: string, hex: string, name: string) =>
    name ? NAMED[name] : String.fromCodePoint(decimal ? Number(decimal) : parseInt(hex, 16)),
  );
}

const TAG = /<(?:!doctype html>|\/([a-z][\w:-]*)>|([a-z][\w:-]*)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>)/iy;

/**
 * Reads SVG, or HTML whose only unclosed elements are the void ones.
 * @throws Error when a tag is not closed, an attribute is not quoted or doubled, or a character is not allowed in XML
 */
export function parseMarkup(source: string): Element {
  const bad = ILLEGAL.exec(source);
  if (bad) throw new Error(`illegal character U+${bad[0].codePointAt(0)!.toString(16)}`);
  const root: Element = { name: '', attributes: new Map(), children: [] };
  const stack = [root];
  let at = 0;
  while (at < source.length) {
    const open = source.indexOf('<', at);
    const words = source.slice(at, open < 0 ? source.length : open);
    const raw = stack.at(-1)!.name === 'style';
    if (words) stack.at(-1)!.children.push(raw ? words : decode(words));
    if (open < 0) break;
    TAG.lastIndex = open;
    const tag = TAG.exec(source);
    if (!tag) throw new Error(`not a tag: ${source.slice(open, open + 80)}`);
    at = open + tag[0].length;
    if (tag[1]) {
      const closed = stack.pop()!;
      if (closed.name !== tag[1]) throw new Error(`</${tag[1]}> closes <${closed.name}>`);
    } else if (tag[2]) {
      const attributes = new Map<string, string>();
      for (const [, name, value] of tag[3].matchAll(/([\w:-]+)="([^"]*)"/g)) {
        if (attributes.has(name)) throw new Error(`${name} twice in <${tag[2]}>`);
        attributes.set(name, decode(value));
      }
      const element = { name: tag[2], attributes, children: [] };
      stack.at(-1)!.children.push(element);
      if (!tag[4] && !VOID.has(tag[2])) stack.push(element);
    }
  }
  if (stack.length !== 1) throw new Error(`<${stack.at(-1)!.name}> is not closed`);
  return root;
}

/** Every element inside, in document order; of one name when given. */
export function elements(inside: Element, name?: string): Element[] {
  const out: Element[] = [];
  const visit = (element: Element): void => {
    for (const child of element.children) {
      if (typeof child === 'string') continue;
      if (!name || child.name === name) out.push(child);
      visit(child);
    }
  };
  visit(inside);
  return out;
}

/** All text inside. */
export function textOf(element: Element): string {
  return element.children.map((child) => (typeof child === 'string' ? child : textOf(child))).join('');
}
