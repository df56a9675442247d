/** English novels, 1847 to 1927, a part of a corpus made for the study of style. */

import { type DataSet, filesOf } from '../data-set.js';

export const ENGLISH_NOVELS: DataSet = {
  name: 'english-novels',
  about: '24 English novels of 1847 to 1927, long paragraphs on single lines',
  licence: 'none stated by the repository; the novels are in the public domain in the USA',
  files: filesOf('computationalstylistics/100_english_novels', 'corpus', [
    ['Bennet_Babylon_1902.txt', 392924, 'e290effdf13de3c52a5cf2e7da0c74ba36b9e11465e08d0f08b3edc7bfa3b1b0'],
    ['Burnett_Garden_1911.txt', 432340, '873fb069535018036a4695afedf7403e7ae64a2830794067eca6044d4b054bc9'],
    ['Cbronte_Jane_1847.txt', 1024721, 'b90cf982eab5d5f07da1ab9fdd6890e46817d4186511dac74564917a19cb8b1b'],
    ['Chesterton_Innocence_1911.txt', 449155, '30c64a3e06d61346fa8791a1626f92617e42c4485c975370459ae76508607cfe'],
    ['Chesterton_Thursday_1908.txt', 327721, '52e3da061f0e8d8bfcf38ed7ac6f6567704c8a7f14be6dc4113b674cbafb7570'],
    ['Conrad_Almayer_1895.txt', 357056, '75621bf095c2435962463d95691f8d99cb4cc1c7f8da74a816923df67ce3dd07'],
    ['Dickens_Bleak_1853.txt', 1968374, '73fbba1762ae40ca7f60b74b28176ecf9bc2cbd2c25f187409045d8d32370a6d'],
    ['Dickens_Expectations_1861.txt', 1007557, 'ab621543c4746eaa3261cc4effddf6d13bb27504ae9da0aa226c961c62464396'],
    ['Doyle_Hound_1902.txt', 321773, 'af0c16569cb5aee4e984b1a3fc8cd0754cdfe301f1b830d28601a50f1e777104'],
    ['Eliot_Adam_1859.txt', 1172112, 'da2f921e496a96f514c1d116fa38a5c85462e43e5a38878e97c7a852bd3306e6'],
    ['Ford_Soldier_1915.txt', 425592, '604745cb52dec86cd16ffa203d2fb0675d921dbfd69772dd8d1132355b835b84'],
    ['Forster_Howards_1910.txt', 630261, '242505d8bc727f53ee0cec7475aff500d3166453369f176f86156072554fea7c'],
    ['Forster_View_1908.txt', 384389, '9d0b40917d31a38e73fa48731383be45e31252fe48c8cf7a33da6e2174cc0815'],
    ['Gaskell_Ruth_1855.txt', 883017, '97869154377078f8713c788dd546e794ed7adcc9c139b7b2b71194526b8d2a82'],
    ['Gissing_Women_1893.txt', 784385, 'f86baa546dda3356f823f1d1baeced658d4e46615186013a621b9c8e87ef9bf0'],
    ['Haggard_Mines_1885.txt', 453272, '96162f8c51b25587769b13a7a0a663f9a35dd2b7e4a2f0c508b735c178589d18'],
    ['James_Ambassadors_1903.txt', 921783, 'df21b75f546ede152847cb01028bf104b7c5074b736825fd498c53b29994fba4'],
    ['Kipling_Kim_1901.txt', 586886, 'a54d7aa479b7961abc407a03b5d7f56107f0ee72692930f107ab3e3ac5d94a0b'],
    ['Lawrence_Women_1920.txt', 1049029, '15d2a50f5d3234bcc779fd1c777d77914b683afa3b4c567df7cf35a03d0d9836'],
    ['Stevenson_Treasure_1883.txt', 361439, 'e55cdea0f8c4224415ed711c59bb4a3c83e23a8d8a209956ea13ce2351899814'],
    ['Thackeray_Esmond_1852.txt', 1024614, '1ee2aefb01bba143ab26222bbba76288fca205d98f539ecaa795c4b672f77450'],
    ['Trollope_Warden_1855.txt', 398712, '7ea03f128eb005afd26e01db31a921b33fe932ebb4826016297ffac5e2a75632'],
    ['Wcollins_Woman_1860.txt', 1358624, '67a1a391d54ec5c10b7291f5717af7bb3eb37c3acfd2a3a8662a088360e71170'],
    ['Woolf_Lighthouse_1927.txt', 389386, '2a98d64e56c3b1e82221a7f3b960a167d8d25acd8609f6257f666e6a21953441'],
  ]),
};
