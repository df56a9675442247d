/** Short texts of many scripts, written for these tests. */
export const SAMPLES: Readonly<Record<string, string>> = {
  english: "The fox didn't stop. It cost $3.50, i.e. 1,000 cents! Why? “Because,” she said… (See http://a.org/b_c.)\n",
  german: 'Über den Straßen lag früher Nebel. Die Häuser schliefen noch, z. B. um 5:30 Uhr. Schön!\n',
  turkish: 'Çok güzel bir gün, değil mi? Evet. İstanbul’da hava ılık.\n',
  russian: 'Съешь же ещё этих мягких французских булок, да выпей чаю. А потом? Спать!\n',
  greek: 'Η γρήγορη αλεπού δεν σταματά. Γιατί; Επειδή βρέχει· πολύ.\n',
  hebrew: 'האם צה"ל בא? שלום, עולם! זה ז\'קט.\n',
  arabic: 'هل وصلَ القطارُ؟ نعم، في الساعة ٣٫٥. شكراً.\n',
  hindi: 'यह एक छोटा-सा वाक्य है। क्या आप समझे? हाँ।\n',
  tamil: 'இது ஒரு சிறிய வாக்கியம். ஆம்!\n',
  thai: 'นี่คือประโยคสั้นๆ ไม่มีช่องว่าง แต่ยังอ่านได้\n',
  khmer: 'ភាសាខ្មែរ ងាយស្រួល។\n',
  burmese: 'မြန်မာစာ ဖတ်ရသည်။\n',
  japanese: '今日は、とても良い天気ですね。コンピュータープログラムを書きます。\n',
  chinese: '今天的天气很好，我们去公园吧！他说：“好。”\n',
  korean: '오늘은 날씨가 좋습니다. 안녕! 밖으로 나갈까요?\n',
  georgian: 'ქართული ენა ლამაზია. დიახ!\n',
  amharic: 'አማርኛ ጽሑፍ፡ነው። እሺ፧\n',
  emoji: '👩‍👩‍👧‍👦 🇩🇪🇫🇷🇯 👍🏽 ❤️‍🔥 ok\r\n',
  decomposed: 'cafe\u0301 na\u0308ive e\u0301\u0323 \u0301x\n',
  white: 'a\u00a0b\u3000c\u2028d\u0085e\tf  g\r\n\r\n\vh\f\n\n',
};

/** All of them in a row. */
export const MIXED: string = Object.values(SAMPLES).join('');
