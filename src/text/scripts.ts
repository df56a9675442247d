/**
 * Which scripts a text is written in, by the Script property of Unicode (UAX #24) as the engine knows it. Each character
 * counts once; signs that many scripts share are `Common`, marks that take their letter's script `Inherited`, and what the
 * engine knows no script for is `Unknown`.
 */

/** The long names of Unicode 16.0's scripts, the most written first. Names that an engine does not know are skipped. */
const NAMES: readonly string[] = [
  'Latin Common Han Cyrillic Arabic Devanagari Hiragana Katakana Hangul Greek Hebrew Thai Inherited Bengali Tamil Telugu',
  'Gujarati Kannada Malayalam Gurmukhi Oriya Sinhala Myanmar Khmer Lao Georgian Armenian Ethiopic Tibetan Mongolian',
  'Adlam Ahom Anatolian_Hieroglyphs Avestan Balinese Bamum Bassa_Vah Batak Bhaiksuki Bopomofo Brahmi Braille Buginese',
  'Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee Chorasmian Coptic Cuneiform Cypriot',
  'Cypro_Minoan Deseret Dives_Akuru Dogra Duployan Egyptian_Hieroglyphs Elbasan Elymaic Garay Glagolitic Gothic Grantha',
  'Gunjala_Gondi Gurung_Khema Hanifi_Rohingya Hanunoo Hatran Imperial_Aramaic Inscriptional_Pahlavi',
  'Inscriptional_Parthian Javanese Kaithi Kawi Kayah_Li Kharoshthi Khitan_Small_Script Khojki Khudawadi Kirat_Rai Lepcha',
  'Limbu Linear_A Linear_B Lisu Lycian Lydian Mahajani Makasar Mandaic Manichaean Marchen Masaram_Gondi Medefaidrin',
  'Meetei_Mayek Mende_Kikakui Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mro Multani Nabataean Nag_Mundari',
  'Nandinagari New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong Ogham Ol_Chiki Ol_Onal Old_Hungarian Old_Italic',
  'Old_North_Arabian Old_Permic Old_Persian Old_Sogdian Old_South_Arabian Old_Turkic Old_Uyghur Osage Osmanya',
  'Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan Saurashtra Sharada',
  'Shavian Siddham SignWriting Sogdian Sora_Sompeng Soyombo Sundanese Sunuwar Syloti_Nagri Syriac Tagalog Tagbanwa',
  'Tai_Le Tai_Tham Tai_Viet Takri Tangsa Tangut Thaana Tifinagh Tirhuta Todhri Toto Tulu_Tigalari Ugaritic Vai Vithkuqi Wancho',
  'Warang_Citi Yezidi Yi Zanabazar_Square',
].flatMap((line) => line.split(' '));

let tests: readonly (readonly [name: string, test: RegExp])[] | undefined;
const known = new Map<number, string>();

/** The script of a code point, by its long name in Unicode: `Latin`, `Han`, `Common`, ... */
export function scriptOf(point: number): string {
  const found = known.get(point);
  if (found !== undefined) return found;
  tests ??= NAMES.flatMap((name) => {
    try {
      return [[name, new RegExp(`^\\p{Script=${name}}$`, 'u')] as const];
    } catch {
      return []; // an engine of an older Unicode
    }
  });
  const character = String.fromCodePoint(point);
  const name = tests.find(([, test]) => test.test(character))?.[0] ?? 'Unknown';
  known.set(point, name);
  return name;
}

/** How many code points of each script a text has, the most frequent first. */
export function countScripts(text: string): Map<string, number> {
  const points = new Map<number, number>();
  for (let at = 0; at < text.length; ) {
    const point = text.codePointAt(at) ?? 0;
    points.set(point, (points.get(point) ?? 0) + 1);
    at += point > 0xffff ? 2 : 1;
  }
  const counts = new Map<string, number>();
  for (const [point, count] of points) {
    const script = scriptOf(point);
    counts.set(script, (counts.get(script) ?? 0) + count);
  }
  return new Map([...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)));
}
