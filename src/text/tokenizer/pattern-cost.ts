import { badTokenizer } from './fields.ts';

/** More than this many ways to begin the same match are refused. */
const MOST_WAYS = 1000;
/** A repetition that may vary by more than this counts as open-ended. */
const LONGEST_CHOICE = 16;

/** A stretch of a pattern: what it costs if what follows it can fail. */
interface Cost {
  /** Open-ended repetitions, at most in one alternative. */
  readonly open: number;
  /** Open-ended repetitions that are followed by something that can fail, within the stretch. */
  readonly degree: number;
  /** Ways to match without open-ended repetitions. */
  readonly ways: number;
  /** Whether it can match nothing. */
  readonly nullable: boolean;
  /** Whether its length can vary or it has alternatives. */
  readonly varies: boolean;
}

const ATOM: Cost = { open: 0, degree: 0, ways: 1, nullable: false, varies: false };

/**
 * How a failing search of a JavaScript regular expression grows at one position, by its form alone: with the length of the text to the power
 * that is returned. What could take exponential time, such as a repetition of something whose length varies (`(a+)+`), is refused.
 * @param source of an expression with the `u` flag
 * @throws HeadscopeError `bad-tokenizer`
 */
export function patternDegree(source: string, where: string): number {
  const { degree, ways } = new Reader(source, where).alternatives();
  if (ways > MOST_WAYS) throw refuse(where, 'has too many alternatives after one another');
  return degree;
}

function refuse(where: string, what: string): Error {
  return badTokenizer(`${where} ${what}, so that searching it could take forever`);
}

class Reader {
  private at = 0;
  private depth = 0;
  private readonly source: string;
  private readonly where: string;

  constructor(source: string, where: string) {
    this.source = source;
    this.where = where;
  }

  /** Up to the end of a group or of the source. */
  alternatives(): Cost {
    if (++this.depth > 100) throw refuse(this.where, 'nests too many groups');
    const all = [this.sequence()];
    while (this.source[this.at] === '|') {
      this.at++;
      all.push(this.sequence());
    }
    this.depth--;
    if (all.length === 1) return all[0];
    return {
      open: Math.max(...all.map((one) => one.open)),
      degree: Math.max(...all.map((one) => one.degree)),
      ways: all.reduce((sum, one) => sum + one.ways, 0),
      nullable: all.some((one) => one.nullable),
      varies: true,
    };
  }

  private sequence(): Cost {
    const items: Cost[] = [];
    while (this.at < this.source.length && !'|)'.includes(this.source[this.at])) items.push(this.repeated());
    let canFailAfter = false;
    let open = 0;
    let degree = 0;
    for (const item of items.toReversed()) {
      open += item.open;
      degree += canFailAfter ? item.open : item.degree;
      canFailAfter ||= !item.nullable;
    }
    return {
      open,
      degree,
      ways: items.reduce((product, item) => product * item.ways, 1),
      nullable: items.every((item) => item.nullable),
      varies: items.some((item) => item.varies),
    };
  }

  private repeated(): Cost {
    const item = this.atom();
    const [least, most] = this.quantifier();
    if (least === 1 && most === 1) return item;
    if (most > 1 && item.varies) throw refuse(this.where, 'repeats something that varies in length');
    const isOpen = most - least > LONGEST_CHOICE;
    return {
      open: item.open + (isOpen ? 1 : 0),
      degree: item.degree,
      ways: item.ways * (isOpen ? 1 : most - least + 1),
      nullable: least === 0 || item.nullable,
      varies: item.varies || most > least,
    };
  }

  private atom(): Cost {
    const char = this.source[this.at++];
    if (char === '(') return this.group();
    if (char === '[') this.skipClass();
    else if (char === '\\') return this.escape();
    else if (char === '^' || char === '$') return ATOM;
    else if (char >= '\ud800' && char <= '\udbff') this.at++;
    return ATOM;
  }

  private group(): Cost {
    const opening =
      /^\?(?:<?[=!]|:|<[^>]*>|[a-z-]*:)/.exec(this.source.slice(this.at, this.at + 80))?.[0] ?? '';
    this.at += opening.length;
    const inner = this.alternatives();
    this.at++;
    // What a look-around matches is not retried, but it can fail.
    if (/[=!]$/.test(opening)) return { ...inner, open: 0, nullable: false, varies: false };
    return inner;
  }

  private escape(): Cost {
    const kind = this.source[this.at++];
    if (/[1-9k]/.test(kind)) throw refuse(this.where, 'refers back to a group');
    const braces = /^\{[^}]*\}/.exec(this.source.slice(this.at, this.at + 80))?.[0];
    if ('pPu'.includes(kind) && braces !== undefined) this.at += braces.length;
    else if (kind === 'x') this.at += 2;
    else if (kind === 'u') this.at += 4;
    return ATOM;
  }

  private skipClass(): void {
    for (; this.at < this.source.length && this.source[this.at] !== ']'; this.at++) {
      if (this.source[this.at] === '\\') this.at++;
    }
    this.at++;
  }

  private quantifier(): [least: number, most: number] {
    const found = /^(?:[*+?]|\{\d+(?:,\d*)?\})/.exec(this.source.slice(this.at, this.at + 40))?.[0];
    if (found === undefined) return [1, 1];
    this.at += found.length;
    if (this.source[this.at] === '?') this.at++;
    if (found === '*') return [0, Infinity];
    if (found === '+') return [1, Infinity];
    if (found === '?') return [0, 1];
    const [least, most] = found.slice(1, -1).split(',');
    return [Number(least), most === undefined ? Number(least) : most === '' ? Infinity : Number(most)];
  }
}
