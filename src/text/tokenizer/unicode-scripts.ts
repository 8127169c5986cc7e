import type { PreTokenizer } from './pre-tokenizer.ts';

/** Unicode's scripts (Scripts.txt), the most frequent first. */
const SCRIPTS =
  'Common Latin Han Inherited Hangul Hiragana Katakana Cyrillic Arabic Greek Hebrew Devanagari Thai Bengali Tamil Telugu Gujarati Kannada Malayalam Gurmukhi Oriya Sinhala Lao Tibetan Myanmar Georgian Ethiopic Cherokee Canadian_Aboriginal Ogham Runic Khmer Mongolian Bopomofo Yi Armenian Syriac Thaana Old_Italic Gothic Deseret Tagalog Hanunoo Buhid Tagbanwa Limbu Tai_Le Linear_B Ugaritic Shavian Osmanya Cypriot Braille Buginese Coptic New_Tai_Lue Glagolitic Tifinagh Syloti_Nagri Old_Persian Kharoshthi Balinese Cuneiform Phoenician Phags_Pa Nko Sundanese Lepcha Ol_Chiki Vai Saurashtra Kayah_Li Rejang Lycian Carian Lydian Cham Tai_Tham Tai_Viet Avestan Egyptian_Hieroglyphs Samaritan Lisu Bamum Javanese Meetei_Mayek Imperial_Aramaic Old_South_Arabian Inscriptional_Parthian Inscriptional_Pahlavi Old_Turkic Kaithi Batak Brahmi Mandaic Chakma Meroitic_Cursive Meroitic_Hieroglyphs Miao Sharada Sora_Sompeng Takri Caucasian_Albanian Bassa_Vah Duployan Elbasan Grantha Pahawh_Hmong Khojki Linear_A Mahajani Manichaean Mende_Kikakui Modi Mro Old_North_Arabian Nabataean Palmyrene Pau_Cin_Hau Old_Permic Psalter_Pahlavi Siddham Khudawadi Tirhuta Warang_Citi Ahom Anatolian_Hieroglyphs Hatran Multani Old_Hungarian SignWriting Adlam Bhaiksuki Marchen Newa Osage Tangut Masaram_Gondi Nushu Soyombo Zanabazar_Square'.split(
    ' ',
  );

const PATTERNS = SCRIPTS.map((name) => [name, new RegExp(`^\\p{Script=${name}}`, 'u')] as const);

/** What goes with anything: the space, and characters without a script. */
const ANY = 'Any';

function findScript(char: string): string {
  if (char === ' ') return ANY;
  const name = PATTERNS.find(([, pattern]) => pattern.test(char))?.[0] ?? ANY;
  // Japanese is written in three scripts at once; the long vowel mark belongs to two of them.
  return name === 'Hiragana' || name === 'Katakana' || char === 'ー' ? 'Han' : name;
}

/** Splits where the script changes, as the reference does: a space stays with what stands before it, or goes when nothing does. */
export function unicodeScripts(): PreTokenizer {
  const known = new Map<string, string>();
  const scriptOf = (char: string): string => {
    const script = known.get(char) ?? findScript(char);
    if (known.size < 20_000) known.set(char, script);
    return script;
  };
  return (piece) => {
    const starts: number[] = [];
    let last: string | undefined;
    let at = 0;
    for (const char of piece.text) {
      const script = scriptOf(char);
      if (script !== ANY && script !== last) starts.push(at);
      if (script !== ANY) last = script;
      at += char.length;
    }
    return starts.map((start, i) => ({
      text: piece.text.slice(start, starts[i + 1]),
      first: piece.first && start === 0,
    }));
  };
}
