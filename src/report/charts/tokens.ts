import { colourHex, colourIndex, colourMap, inkOn } from '../colours.ts';
import type { Tokens } from '../figure-schema.ts';
import { prose, shorten, textWidth, tokenText } from '../text.ts';
import { colour } from '../theme.ts';
import { rectangle, shapes, text, type Chart, type Shape } from './frame.ts';
import { layLegend, missingItem, scaleItem } from './legend.ts';

const WIDTH = 1000;
const HEIGHT = 24;
const SIZE = 12.5;
const SMALL = 10;
const GAP = 3;

/** The prompt set in lines like text, each token a tinted box with its position above and its mark beneath. */
export function tokensChart(figure: Tokens): Chart {
  const hasMissing = figure.values.includes(null);
  const legend = layLegend([scaleItem(figure.scale), ...(hasMissing ? [missingItem()] : [])], 2, WIDTH - 4);
  const marks = new Map<number, string>();
  for (const { position, label } of figure.marks) {
    const before = marks.get(position);
    marks.set(position, before ? `${before}, ${prose(label)}` : prose(label));
  }
  const lineHeight = HEIGHT + 14 + (marks.size > 0 ? 16 : 4);
  const map = colourMap(figure.scale.map);
  const out: Shape[] = [...legend.shapes];
  let x = 2;
  let y = legend.height + 16;
  let widest = 0;
  figure.tokens.forEach((token, position) => {
    const words = shorten(tokenText(token), 40);
    const mark = shorten(marks.get(position) ?? '', 24);
    const width = Math.ceil(Math.max(22, textWidth(words, SIZE) + 12, textWidth(mark, SMALL) + 2));
    if (x > 2 && x + width > WIDTH - 2) {
      x = 2;
      y += lineHeight;
    }
    const box = { left: x, top: y, width, height: HEIGHT };
    const value = figure.values[position];
    const index = value === null ? undefined : colourIndex(value, figure.scale.domain);
    const fill = index === undefined ? colour('faint') : colourHex(map, index);
    const ink = index === undefined ? colour('ink') : inkOn(map, index);
    out.push(
      text(String(position), x + width / 2, y - 7, colour('muted'), SMALL, 'center'),
      rectangle(box, marks.has(position) ? { fill, stroke: colour('accent'), lineWidth: 2 } : { fill }),
      text(words, x + width / 2, y + HEIGHT / 2, ink, SIZE, 'center'),
    );
    if (mark) out.push(text(mark, x + width / 2, y + HEIGHT + 9, colour('accent'), SMALL, 'center'));
    x += width + GAP;
    widest = Math.max(widest, x);
  });
  const width = Math.ceil(Math.max(340, widest + 2));
  return { width, height: Math.ceil(y + lineHeight - 12), option: { series: [shapes(out)] } };
}
